"""Every setting comes from the environment and has a default that works on one computer (docs/settings.md)."""

from pathlib import Path
from typing import Any

import environ
from csp.constants import NONE, SELF

from config.address import local_url
from config.monitoring.faults import is_fault
from config.postgres.sizes import Sizes, bounds
from config.secret_key import secret_key

env = environ.Env()
BASE_DIR = Path(__file__).resolve().parent.parent

# --- this installation
DEBUG = env.bool("DEBUG", default=False)
DATA_DIR = Path(env.str("DATA_DIR", default=str(BASE_DIR / ".data"))).resolve()
SECRET_KEY = env.str("SECRET_KEY", default="") or secret_key(DATA_DIR)
LOCAL_HOSTS = ["localhost", "127.0.0.1", "[::1]", "testserver"]
ALLOWED_HOSTS = env.list("ALLOWED_HOSTS", default=LOCAL_HOSTS)
CSRF_TRUSTED_ORIGINS = env.list("CSRF_TRUSTED_ORIGINS", default=[])
TLS_PROXY = env.bool("TLS_PROXY", default=False)  # a proxy with TLS stands before us and says how people came
SECURE_COOKIES = env.bool("SECURE_COOKIES", default=TLS_PROXY)
# Where people reach the pages; empty: where their request came in, or LOCAL_URL when there is none.
PUBLIC_URL = env.str("PUBLIC_URL", default="").rstrip("/")
LOCAL_URL = local_url(env.str("HOST", default="127.0.0.1"), env.str("PORT", default="8000"))
METRICS_TOKEN = env.str("METRICS_TOKEN", default="")  # opens /metrics to who watches from another computer
PROCESS = env.str("COUNTERSIGN_PROCESS", default="")  # web, worker, clock; set by `manage.py up`

# --- applications
INSTALLED_APPS = [
    "daphne",
    "django.contrib.auth",
    "django.contrib.contenttypes",
    "django.contrib.sessions",
    "django.contrib.messages",
    "django.contrib.staticfiles",
    "django.contrib.postgres",
    "axes",
    "channels",
    "csp",
    "django_htmx",
    "django_q",
    "ninja",
    "accounts",
    "approvals",
    "billing",
    "inference",
    "machines",
    "runs",
    "web",
    "workflows",
    "config",
]
MIDDLEWARE = [
    "accounts.middleware.RequestIdMiddleware",
    "django.middleware.security.SecurityMiddleware",
    "whitenoise.middleware.WhiteNoiseMiddleware",
    "accounts.middleware.HeadMiddleware",
    "accounts.middleware.ContentPolicyMiddleware",
    "django.contrib.sessions.middleware.SessionMiddleware",
    "django.middleware.common.CommonMiddleware",
    "django.middleware.csrf.CsrfViewMiddleware",
    "django.contrib.auth.middleware.AuthenticationMiddleware",
    "django.contrib.messages.middleware.MessageMiddleware",
    "django.middleware.clickjacking.XFrameOptionsMiddleware",
    "django_htmx.middleware.HtmxMiddleware",
    "accounts.middleware.ApiMiddleware",
    "axes.middleware.AxesMiddleware",
]
ROOT_URLCONF = "config.urls"
ASGI_APPLICATION = "config.asgi.application"
APPEND_SLASH = False
DEFAULT_AUTO_FIELD = "django.db.models.BigAutoField"
TEMPLATES = [
    {
        "BACKEND": "django.template.backends.django.DjangoTemplates",
        "DIRS": [BASE_DIR / "templates"],
        "APP_DIRS": True,
        "OPTIONS": {
            "context_processors": [
                "django.template.context_processors.request",
                "django.contrib.auth.context_processors.auth",
                "django.contrib.messages.context_processors.messages",
                "accounts.pages.page_context",
            ],
        },
    }
]

# --- database: PostgreSQL only. Without DATABASE_URL it is the embedded server that `manage.py up` runs and notes here.
DATABASE_NOTE = DATA_DIR / "database-url"
DATABASE_URL = env.str("DATABASE_URL", default="") or (DATABASE_NOTE.read_text() if DATABASE_NOTE.exists() else "")
DATABASES: dict[str, dict[str, Any]] = {"default": env.db_url_config(DATABASE_URL or "postgresql://app@/countersign")}
DATABASES["default"] |= {"ENGINE": "config.postgres", "CONN_HEALTH_CHECKS": True, "CONN_MAX_AGE": None}
# Django turns preparing off unless it is told a number; only database/sql.py asks for it, and at once.
options: dict[str, Any] = DATABASES["default"].setdefault("OPTIONS", {})
options["prepare_threshold"] = 5
CLOCK_LOOK_SECONDS = env.float("CLOCK_LOOK_SECONDS", default=2.5)  # so often the clock asks what is due, rung or not
LOCK_SECONDS = env.float("LOCK_SECONDS", default=8.0)  # that anything waits for a locked row
TRANSACTION_IDLE_SECONDS = env.float(
    "TRANSACTION_IDLE_SECONDS", default=5.0
)  # then the server ends a silent transaction
session_bounds = bounds(PROCESS, LOCK_SECONDS, TRANSACTION_IDLE_SECONDS, CLOCK_LOOK_SECONDS)
options["options"] = f"{session_bounds} {options.get('options', '')}".strip()
# A server whose host is gone says nothing.
dead_peer = {"connect_timeout": 5, "keepalives_idle": 10, "keepalives_interval": 5, "keepalives_count": 3}
DATABASES["default"]["OPTIONS"] = options = dead_peer | {"tcp_user_timeout": 30_000} | options
# Threads of one web process for requests, and for those that take long: each may have a connection (config/postgres).
REQUEST_THREADS = env.int("REQUEST_THREADS", default=16)
SLOW_THREADS = env.int("SLOW_THREADS", default=48)
SLOW_CALLS_PER_KEY = env.int("SLOW_CALLS_PER_KEY", default=16)
RUN_LOOP_THREADS = env.int("RUN_LOOP_THREADS", default=4)  # database connections of one worker process
WORKERS = env.int("WORKERS", default=2)
SIZES = Sizes(REQUEST_THREADS, SLOW_THREADS, WORKERS, RUN_LOOP_THREADS)
if PROCESS == "web":  # many threads, few connections: a request gives its own back to the pool
    DATABASES["default"] |= {"CONN_MAX_AGE": 0, "CONN_HEALTH_CHECKS": False}
    options["pool"] = {"min_size": 2, "max_size": SIZES.pool, "timeout": 5}

# --- background work
Q_CLUSTER = {
    "name": "countersign",
    "workers": WORKERS,
    "orm": "default",
    "broker_class": "config.queue.DoorbellBroker",
    "timeout": 60,
    "retry": 90,
    "max_attempts": 5,
    "save_limit": -1,  # what succeeded leaves no row behind; failures are kept
    "recycle": 100_000,  # tasks after which a worker is replaced, with every run it drives: the default is 500
    "bulk": 5,
    "queue_limit": 20,
    "catch_up": False,
    "label": "Background work",
}
# The only edge that points upwards: event type -> name of the task that record() queues (docs/architecture.md).
EVENT_SUBSCRIBERS: dict[str, list[str]] = {
    "member.changed": ["approvals.tasks.member_changed"],
    "machine.ready": ["runs.tasks.machine_ready"],
    "machine.gone": ["runs.tasks.machine_gone"],
    "task.ended": ["workflows.tasks.task_ended"],
    "request.decided": ["workflows.tasks.request_decided"],
}
MACHINE_GATE = "billing.services.machine_gate"  # asked before a machine is made: callable(actor), raises a Refusal
MACHINE_TILL = "billing.services.charge_machine"  # takes what machine time costs (machines/processes/metering.py)
# Asked before a group is renamed or deleted, callable(team_id, words): who names it so, in words.
GROUP_USERS = ("approvals.deciders.quorum.users_of_group", "workflows.references.users_of_group")
# Asked before a team's setting is changed, callable(actor, value): raises a Refusal for what is not there.
TEAM_SETTING_GATES = {
    "default_machine_id": "machines.access.require_default",
    "default_agent": "runs.agents.registry.require_default",
}
USUAL_AGENT = "inference.specs.usual_agent"  # callable(): the agent where neither a call nor a team names one
RUN_LOOP_CAPACITY = env.int("RUN_LOOP_CAPACITY", default=600)  # runs that one worker process drives at once
LEASE_SECONDS = env.float("LEASE_SECONDS", default=8.0)  # a worker that is silent for so long loses its runs
STUCK_SECONDS = 60
MODEL_PATIENCE = env.float(
    "MODEL_PATIENCE", default=900.0
)  # seconds a run waits for a model that is busy, then it fails

# --- product
ALLOW_SCRIPTED_LIVE = env.bool("ALLOW_SCRIPTED_LIVE", default=True)
DEFAULT_AGENT = env.str("DEFAULT_AGENT", default="")
MAX_STEPS_CEILING = env.int("MAX_STEPS_CEILING", default=1000)
PRICE_STEP_CENTS = {"v1": 8, "v3": 5, "v4": 5}
PRICE_CALL_CENTS = {"predict": 5, "sessions": 10, "session_predict": 4, "ground": 3}
PRICE_EXTRA_CENTS = {"trajectory_images": 2, "high_definition": 1, "engine_v1": 3, "system_prompt": 1}
RATE_LIMIT_PER_MINUTE = env.int("RATE_LIMIT_PER_MINUTE", default=600)
RATE_LIMIT_RUNS_PER_MINUTE = env.int("RATE_LIMIT_RUNS_PER_MINUTE", default=120)
VENDOR_ALIASES = env.bool("VENDOR_ALIASES", default=True)  # names of another vendor beside ours (web/aliases.py)
IDEMPOTENCY_WAIT_SECONDS = env.float("IDEMPOTENCY_WAIT_SECONDS", default=25.0)  # for the first call with the same key
DATA_UPLOAD_MAX_MEMORY_SIZE = 25 * 1024 * 1024  # the API refuses earlier (web/bodies.py)
PICTURE_DAYS = env.int("PICTURE_DAYS", default=90)  # after the end of their run; 0: for ever
STREAMS_PER_KEY = env.int("STREAMS_PER_KEY", default=20)
SSE_KEEPALIVE_SECONDS = env.float("SSE_KEEPALIVE_SECONDS", default=14.0)  # silence after which a stream gives a comment
SOCKET_BEAT_SECONDS = env.float("SOCKET_BEAT_SECONDS", default=15.0)  # so often an open page hears of us
UNREAD_SECONDS = env.float("UNREAD_SECONDS", default=60.0)  # a caller who takes no byte for so long is given up
WAITS_PER_MINUTE = env.int("WAITS_PER_MINUTE", default=6000)  # calls that wait for a decision, per key
WAITS_PER_REQUEST = env.int("WAITS_PER_REQUEST", default=30)  # of these for one request
STREAM_CONNECTS_PER_MINUTE = env.int("STREAM_CONNECTS_PER_MINUTE", default=30)
WEBHOOK_ALLOW_LOOPBACK = env.bool("WEBHOOK_ALLOW_LOOPBACK", default=DEBUG)  # http and https to this computer
WEBHOOK_ALLOWED_HOSTS = env.list("WEBHOOK_ALLOWED_HOSTS", default=[])  # further hosts and networks, http included
FIRST_GRANT_CENTS = env.int("FIRST_GRANT_CENTS", default=10_000)  # what the first team's wallet starts with
DISK_RESERVE_MB = env.int("DISK_RESERVE_MB", default=300)  # with less on the disk, steps wait until there is room
MACHINES_DIR = DATA_DIR / "machines"
TOOLS_DIR = Path(env.str("TOOLS_DIR", default="") or DATA_DIR / "tools").resolve()  # what machines/tools fetches
MACHINE_CAPACITY = env.str("MACHINE_CAPACITY", default="refuse")  # a machine without room is in error; or wait; or off
MACHINE_OVERCOMMIT = env.float("MACHINE_OVERCOMMIT", default=8.0)  # what machines may have together, by what there is
MACHINE_HOME_GB = env.float("MACHINE_HOME_GB", default=5.0)  # a machine with more on disk is stopped; 0: no limit
MACHINE_FETCH = env.str("MACHINE_FETCH", default="auto")  # never: nothing is fetched
STORAGES = {
    "default": {
        "BACKEND": "django.core.files.storage.FileSystemStorage",
        "OPTIONS": {"location": DATA_DIR / "artifacts"},
    },
    "staticfiles": {"BACKEND": "django.contrib.staticfiles.storage.StaticFilesStorage"},
}

# --- people
AUTH_USER_MODEL = "accounts.User"
AUTHENTICATION_BACKENDS = ["axes.backends.AxesStandaloneBackend", "accounts.passwords.ByPassword"]
PASSWORD_HASHERS = ["accounts.passwords.Argon2"]
AUTH_PASSWORD_VALIDATORS = [
    {"NAME": "django.contrib.auth.password_validation.MinimumLengthValidator", "OPTIONS": {"min_length": 10}},
    {"NAME": "django.contrib.auth.password_validation.CommonPasswordValidator"},
]
LOGIN_URL = "/sign-in"
LOGIN_REDIRECT_URL = "/"
AXES_FAILURE_LIMIT = 10
AXES_COOLOFF_TIME = 0.25  # hours
AXES_LOCKOUT_PARAMETERS = [["username", "ip_address"]]
AXES_USERNAME_FORM_FIELD = "username"  # of the sign-in form; axes would look for "email" and lock everybody together
AXES_LOCKOUT_CALLABLE = "accounts.sign_in.views.locked_out"
AXES_VERBOSE = False
SESSION_COOKIE_HTTPONLY = True
SESSION_COOKIE_SECURE = CSRF_COOKIE_SECURE = SECURE_COOKIES
if TLS_PROXY:
    SECURE_PROXY_SSL_HEADER = ("HTTP_X_FORWARDED_PROTO", "https")
    SECURE_SSL_REDIRECT = True
    SECURE_REDIRECT_EXEMPT = [r"^(healthz|readyz|metrics|version)$"]  # watchers come without the proxy
SECURE_HSTS_SECONDS = env.int("HSTS_SECONDS", default=0)  # how long browsers remember to come by https only
# Other hosts below the same domain, and the browsers' own lists, are not ours to decide about.
SILENCED_SYSTEM_CHECKS = ["security.W005", "security.W021"]
SESSION_COOKIE_AGE = 60 * 60 * 24 * 14

# --- mail
vars().update(env.email_url("EMAIL_URL", default="consolemail://"))  # EMAIL_BACKEND, EMAIL_HOST and the like
EMAIL_TIMEOUT = 10  # seconds: a silent mail server holds up one worker for so long
DEFAULT_FROM_EMAIL = env.str("DEFAULT_FROM_EMAIL", default="Countersign <countersign@localhost>")

# --- pages
STATIC_URL = "/static/"
STATICFILES_DIRS = [BASE_DIR / "static"]
WHITENOISE_USE_FINDERS = True
WHITENOISE_AUTOREFRESH = DEBUG
X_FRAME_OPTIONS = "DENY"
SECURE_REFERRER_POLICY = "same-origin"
CONTENT_SECURITY_POLICY = {
    "DIRECTIVES": {
        "default-src": [NONE],
        "script-src": [SELF],
        "style-src": [SELF],
        "img-src": [SELF, "data:"],
        "font-src": [SELF],
        "connect-src": [SELF],
        "form-action": [SELF],
        "base-uri": [NONE],
        "frame-ancestors": [NONE],
    }
}
CHANNEL_LAYERS = {"default": {"BACKEND": "channels.layers.InMemoryChannelLayer"}}

# --- language, time, log
LANGUAGE_CODE = "en-us"
TIME_ZONE = "UTC"
USE_I18N = False
USE_TZ = True
LOGGING = {
    "version": 1,
    "disable_existing_loggers": False,
    "filters": {"faults": {"()": "django.utils.log.CallbackFilter", "callback": is_fault}},
    "formatters": {"line": {"format": "{asctime} {levelname} {name} {message}", "style": "{"}},
    "handlers": {"console": {"class": "logging.StreamHandler", "formatter": "line"}},
    "root": {"handlers": ["console"], "level": env.str("LOG_LEVEL", default="WARNING")},
    "loggers": {
        "django.request": {"level": "ERROR", "filters": ["faults"]},
        "daphne": {"level": "WARNING"},
        "django-q": {"level": "WARNING"},
        "psycopg.pool": {"level": "ERROR"},  # each attempt to connect while the database is away
    },
}
