"""The worker's entry point."""

from engine.worker.process import main

if __name__ == "__main__":
    main()
