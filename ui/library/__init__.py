"""The library: finding models on the hub, downloading them, and keeping what is on this machine."""
