"""All benchmarks, one after another."""

import commands
import latency
import load
import rebuild
import snapshots

if __name__ == "__main__":
    for part in (commands, snapshots, load, rebuild, latency):
        part.main()
