"""The documented limits of the platform that this provider needs.

Sources: the platform's guide "Use the Batch API", its API reference for files and batches, and its OpenAPI file,
as of August and September 2026. None is measured.
"""

#: The only endpoint that a batch may call.
BATCH_ENDPOINT = "/v1/chat/completions"

#: One batch input file: "100 MB", in the smaller of its two meanings.
MAX_FILE_BYTES = 100_000_000

#: Files an account may keep, of any purpose.
MAX_FILES = 1000

#: Bounds of `completion_window`.
MIN_WINDOW_HOURS = 12
MAX_WINDOW_HOURS = 168

#: Bounds of a batch's `metadata`.
MAX_METADATA_PAIRS = 16
MAX_METADATA_KEY_CHARS = 64
MAX_METADATA_VALUE_CHARS = 512

#: Base URL of each region: two separate systems, whose keys, files and batches are not shared.
REGION_BASE_URLS = {"cn": "https://api.moonshot.cn/v1", "intl": "https://api.moonshot.ai/v1"}

#: Where people see what is theirs, by region. No page of a batch has a published address.
REGION_CONSOLES = {"cn": "https://platform.kimi.com/console", "intl": "https://platform.kimi.ai/console"}

#: Batches of one page of the list; the largest page that any source shows.
PAGE_SIZE = 100
