"""The documented limits of the platform, declared a second time on purpose.

The provider has its own list in `airflow_provider_kimi.api.limits`. A test compares the two, so that a wrong number
in one of them is seen.
"""

MAX_FILE_BYTES = 100_000_000
MAX_TOTAL_FILE_BYTES = 10_000_000_000
MAX_FILES = 1000
MAX_BATCH_FILES = 1000

BATCH_ENDPOINT = "/v1/chat/completions"
UPLOAD_PURPOSES = ("file-extract", "image", "video", "batch")

MIN_WINDOW_HOURS = 12
MAX_WINDOW_HOURS = 168

MAX_METADATA_PAIRS = 16
MAX_METADATA_KEY_CHARS = 64
MAX_METADATA_VALUE_CHARS = 512

FORBIDDEN_BODY_KEYS = ("temperature", "top_p", "n", "presence_penalty", "frequency_penalty")
#: The only values that a synchronous call may give them (temperature: thinking, not thinking).
FIXED_BODY_VALUES = {
    "temperature": (1.0, 0.6),
    "top_p": (0.95,),
    "n": (1,),
    "presence_penalty": (0,),
    "frequency_penalty": (0,),
}
#: Models whose thinking cannot be disabled; the second is the first one on faster machines.
ALWAYS_THINKING_MODELS = ("kimi-k2.7-code", "kimi-k2.7-code-highspeed")

BATCH_STATUSES = (
    "validating",
    "in_progress",
    "finalizing",
    "completed",
    "failed",
    "expired",
    "cancelling",
    "cancelled",
)
TERMINAL_STATUSES = ("completed", "failed", "expired", "cancelled")

DEFAULT_LIST_LIMIT = 20
DEFAULT_MAX_COMPLETION_TOKENS = 32_768
CONTEXT_TOKENS = 262_144
K3_CONTEXT_TOKENS = 1_048_576
