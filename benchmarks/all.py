"""All benchmarks, one after another."""

import commands
import latency
import load
import rebuild

if __name__ == "__main__":
    for part in (commands, load, rebuild, latency):
        part.main()
