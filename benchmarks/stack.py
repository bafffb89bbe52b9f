"""All benchmarks of the distributed form, one after another, on a stack of their own."""

import shutil

import freshness
import ingestion
import stack_commands
import stack_delay
import stack_latency
import stack_listener
import stack_profile
import stack_snapshots
from figures import quiet, say
from stack_under_test import deployed

if __name__ == "__main__":
    quiet()
    with deployed() as bank:
        stack_listener.measure(bank.place)
        stack_delay.measure(bank.place)
        stack_latency.measure(bank)
        stack_snapshots.measure(bank.place)
        freshness.on_stack(bank)
        ingestion.on_stack(bank)
        if shutil.which("wrk") is None:
            say("Commands over HTTP: not measured, wrk is not installed (Debian: apt-get install wrk)")
        else:
            stack_commands.measure(bank)
            stack_profile.measure(bank)
