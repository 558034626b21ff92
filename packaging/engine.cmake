# Read by CMake while it configures llama-cpp-python (CMAKE_PROJECT_llama_cpp_INCLUDE).
# Hearth uses llama and ggml alone. Without these two a compile takes a third of the time.
set(LLAMA_BUILD_COMMON OFF)
set(LLAVA_BUILD OFF)

# The build asks git for llama.cpp's commit and would get the one of the checkout around it.
# The source distribution's change log names the right one.
file(STRINGS "${CMAKE_SOURCE_DIR}/CHANGELOG.md" _update REGEX "ggml-org/llama\\.cpp@[0-9a-f]+" LIMIT_COUNT 1)
string(REGEX MATCH "llama\\.cpp@([0-9a-f]+)" _update "${_update}")
set(LLAMA_BUILD_COMMIT "${CMAKE_MATCH_1}")
if(NOT LLAMA_BUILD_COMMIT)
  set(LLAMA_BUILD_COMMIT "unknown")
endif()
set(LLAMA_BUILD_NUMBER 0)
set(GIT_EXE OFF) # taken as found, and false where the build asks whether there is one
