"""How OpenMP's threads wait for work: asleep, after spinning for some milliseconds.

By default they spin for long.  Beside one other busy process, such as the browser that shows the page, each step then
waits for a thread that has no core to spin on, and takes ten to twenty times as long.  Asleep at once, they take a
quarter to a half longer alone, on a virtual machine that is slow to wake them: hence the spin of some milliseconds,
which outlasts what lies between two operations.  `ddpm.system.threads` takes a thread less where a core is busy.

What somebody has set stays.  Imported before torch, which reads this once, as it is loaded.
"""

import os

if "GOMP_SPINCOUNT" not in os.environ and "OMP_WAIT_POLICY" not in os.environ:
    os.environ["OMP_WAIT_POLICY"] = "passive"
    os.environ["GOMP_SPINCOUNT"] = "100000"  # rounds, of GNU's OpenMP, which torch brings on Linux
