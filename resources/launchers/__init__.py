"""Accelerator work in processes of its own: on this machine, by Slurm, on Ray, or in Kubernetes.

`launch.py` says which job does what, `underway.py` watches one; a backend only starts a job, says how it fares and ends
it. On the machine of the job runs `resources.supervisor`, which starts the ranks (`resources.worker`), speaks Dagster
Pipes on its standard output, and leaves no process behind.
"""
