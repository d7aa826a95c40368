"""List prices in US dollars, read in November 2026: one place to renew. Free tiers and discounts are left out.

Firestore in a region; storage of the ledger until it expires, logs and traffic to the internet are not included.
"""

READ_ON = "2026-11"

MILLION = 1e6
TEBIBYTE = 2.0**40

#: Cloud Run and Cloud Run functions, billed by request.
REQUEST = 0.40 / MILLION
VCPU_SECOND = 0.000024
GIB_SECOND = 0.0000025
#: Cloud Run's jobs, which are billed like instances.
JOB_VCPU_SECOND = 0.000018
JOB_GIB_SECOND = 0.000002
#: Firestore, a document each.
READ = 0.03 / 100_000
WRITE = 0.09 / 100_000
DELETE = 0.01 / 100_000
#: Pub/Sub, published and delivered alike; a request counts as this many bytes at least.
PUBSUB_BYTE = 40.0 / TEBIBYTE
PUBSUB_REQUEST_BYTES_MIN = 1_000

#: How much of the CPU that an instance is billed for it really uses: the autoscaler's aim.
UTILISATION = 0.6
#: Memory that is billed beside each vCPU.
GIB_A_VCPU = 0.5
