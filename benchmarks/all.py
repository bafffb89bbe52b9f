"""All benchmarks of the embedded form, one after another."""

import commands
import freshness
import ingestion
import latency
import load
import rebuild
import snapshots

if __name__ == "__main__":
    for part in (commands, snapshots, load, rebuild, latency, freshness, ingestion):
        part.main()
