"""How OpenMP's threads wait for work: asleep.  Imported before torch, which reads this once, as it is loaded.

By default they spin.  Alone on a machine that costs nothing; beside one other busy process, such as the browser that
shows the page, each step then waits for a thread that has no core to spin on, and takes ten to twenty times as long.
What somebody has set stays.
"""

import os

os.environ.setdefault("OMP_WAIT_POLICY", "passive")
