"""``python -m engine.probe``: the child."""

from engine.probe.child import main

if __name__ == "__main__":
    main()
