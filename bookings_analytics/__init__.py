"""Class bookings of gym customers in JupyterLab: who books, who takes part, who does not turn up.

Data flows one way: `read_cohorts` → `fetch_bookings` → `classify` → the rates → `charts`.
"""

from __future__ import annotations
