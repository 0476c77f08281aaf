"""Every name on which two programs must agree: kinds, labels, paths, ports, metrics, exit codes.

One place, so that the operator, the pods that it makes, the chart and the docs cannot drift apart.
"""

from enum import IntEnum, StrEnum
from typing import Final

GROUP: Final = "slipway.dev"
VERSION: Final = "v1alpha1"
API_VERSION: Final = f"{GROUP}/{VERSION}"
KIND: Final = "ModelDeployment"
PLURAL: Final = "modeldeployments"
SINGULAR: Final = "modeldeployment"
SHORT_NAME: Final = "mdep"
CATEGORY: Final = "inference"
FIELD_MANAGER: Final = "slipway"
MAX_NAME_LENGTH: Final = 40


class Label(StrEnum):
    """Label keys. The first two alone are in selectors, so their values never change."""

    MODEL_DEPLOYMENT = "slipway.dev/model-deployment"
    REVISION = "slipway.dev/revision"
    VARIANT = "slipway.dev/variant"
    APP_NAME = "app.kubernetes.io/name"
    APP_INSTANCE = "app.kubernetes.io/instance"
    APP_COMPONENT = "app.kubernetes.io/component"
    APP_PART_OF = "app.kubernetes.io/part-of"
    APP_MANAGED_BY = "app.kubernetes.io/managed-by"


MANAGED_BY: Final = "slipway"


class Component(StrEnum):
    """Values of ``app.kubernetes.io/component``."""

    PREDICTOR = "predictor"
    OPTIMIZER = "optimizer"
    REPLAY = "replay"


class Annotation(StrEnum):
    """Annotation keys."""

    REQUEST = "slipway.dev/request"  # on pods: the JSON that their program was given
    RESULT = "slipway.dev/result"  # on a ControllerRevision: what its optimization Job reported
    APPLIED = "slipway.dev/applied"  # hash of what was applied last: a no-op needs no write
    PROMOTE = "slipway.dev/promote"  # on a ModelDeployment, value = the revision meant
    ABORT = "slipway.dev/abort"
    RETRY = "slipway.dev/retry"


class Port(IntEnum):
    """Ports inside a pod."""

    HTTP = 8080
    GRPC = 9000
    OPERATOR = 8081  # the operator's /metrics, /healthz and /readyz


HTTP_PORT_NAME: Final = "http"
GRPC_PORT_NAME: Final = "grpc"
GPU: Final = "nvidia.com/gpu"  # the resource of NVIDIA's device plugin


class PodPath(StrEnum):
    """Where things are mounted inside pods."""

    REQUEST_DIR = "/etc/slipway/request"
    REQUEST_FILE = "/etc/slipway/request/request.json"
    STORAGE = "/etc/slipway/storage"  # one folder per purpose: model, dataset, artifacts
    WORK = "/var/lib/slipway"  # emptyDir: survives a container restart, not the pod
    TMP = "/tmp"  # noqa: S108 - an emptyDir in a pod whose root is read-only


class Env(StrEnum):
    """Environment variables that Slipway's programs read. None of them ever holds a secret."""

    REQUEST_FILE = "SLIPWAY_REQUEST_FILE"
    STORAGE_DIR = "SLIPWAY_STORAGE_DIR"
    WORK_DIR = "SLIPWAY_WORK_DIR"
    TERMINATION_LOG = "SLIPWAY_TERMINATION_LOG"
    HTTP_PORT = "SLIPWAY_HTTP_PORT"
    GRPC_PORT = "SLIPWAY_GRPC_PORT"
    GRPC_TRANSPORT = "SLIPWAY_GRPC_TRANSPORT"  # own | grpc.aio
    BIND_ADDRESS = "SLIPWAY_BIND_ADDRESS"
    LOG_FORMAT = "SLIPWAY_LOG_FORMAT"  # text | json
    DRAIN_SECONDS = "SLIPWAY_DRAIN_SECONDS"  # a server goes on as before after SIGTERM
    GRACE_SECONDS = "SLIPWAY_GRACE_SECONDS"  # from SIGTERM to a server's end at the latest
    TLS_CERTIFICATE = "SLIPWAY_TLS_CERTIFICATE"  # files of a server, read again when they change
    TLS_KEY = "SLIPWAY_TLS_KEY"
    TOKEN_FILE = "SLIPWAY_TOKEN_FILE"  # noqa: S105 - the name of a file
    ACCESS_LOG = "SLIPWAY_ACCESS_LOG"  # json: a line on stdout for every request
    SPANS = "SLIPWAY_SPANS"  # otlp: OpenTelemetry's own variables say where to


class OperatorEnv(StrEnum):
    """Environment variables of the operator; the chart sets them from its values."""

    WATCH_NAMESPACES = "SLIPWAY_WATCH_NAMESPACES"  # comma-separated; empty = all
    POD_NAME = "SLIPWAY_POD_NAME"
    POD_NAMESPACE = "SLIPWAY_POD_NAMESPACE"  # where the Lease is
    IMAGE_SERVER = "SLIPWAY_IMAGE_SERVER"
    IMAGE_OPTIMIZER = "SLIPWAY_IMAGE_OPTIMIZER"
    IMAGE_OPTIMIZER_CLASSIC = "SLIPWAY_IMAGE_OPTIMIZER_CLASSIC"
    IMAGE_OPTIMIZER_TORCH = "SLIPWAY_IMAGE_OPTIMIZER_TORCH"
    IMAGE_OPTIMIZER_TENSORFLOW = "SLIPWAY_IMAGE_OPTIMIZER_TENSORFLOW"
    IMAGE_OPTIMIZER_MINDSPORE = "SLIPWAY_IMAGE_OPTIMIZER_MINDSPORE"
    IMAGE_SERVER_OPENVINO = "SLIPWAY_IMAGE_SERVER_OPENVINO"
    IMAGE_OPTIMIZER_OPENVINO = "SLIPWAY_IMAGE_OPTIMIZER_OPENVINO"
    IMAGE_SERVER_CUDA = "SLIPWAY_IMAGE_SERVER_CUDA"
    IMAGE_OPTIMIZER_CUDA = "SLIPWAY_IMAGE_OPTIMIZER_CUDA"
    LOADER_IMAGES = "SLIPWAY_LOADER_IMAGES"  # comma-separated; names, or prefixes that end in *
    IMAGE_PULL_POLICY = "SLIPWAY_IMAGE_PULL_POLICY"
    IMAGE_PULL_SECRETS = "SLIPWAY_IMAGE_PULL_SECRETS"  # comma-separated
    ARTIFACTS_URI = "SLIPWAY_ARTIFACTS_URI"  # default for spec.artifacts.storageUri
    ARTIFACTS_SECRET = "SLIPWAY_ARTIFACTS_SECRET"  # noqa: S105 - the name of a Secret
    CLUSTER_DOMAIN = "SLIPWAY_CLUSTER_DOMAIN"
    PORT = "SLIPWAY_OPERATOR_PORT"  # of /metrics, /healthz and /readyz; default Port.OPERATOR
    RESYNC_SECONDS = "SLIPWAY_RESYNC_SECONDS"  # each resource is looked at anew; default 600
    LOG_FORMAT = "SLIPWAY_LOG_FORMAT"
    LOG_LEVEL = "SLIPWAY_LOG_LEVEL"


TERMINATION_LOG: Final = "/dev/termination-log"
TERMINATION_MESSAGE_LIMIT: Final = 4096  # bytes; the kubelet cuts what is longer


class StorageKey(StrEnum):
    """Keys of a storage Secret, each a file in the folder where the Secret is mounted."""

    ENDPOINT = "AWS_ENDPOINT_URL"
    REGION = "AWS_REGION"
    ACCESS_KEY_ID = "AWS_ACCESS_KEY_ID"
    SECRET_ACCESS_KEY = "AWS_SECRET_ACCESS_KEY"  # noqa: S105 - the name of a key, not a key
    SESSION_TOKEN = "AWS_SESSION_TOKEN"  # noqa: S105 - the name of a key, not a key
    ADDRESSING_STYLE = "AWS_S3_ADDRESSING_STYLE"  # path | virtual
    CA_BUNDLE = "ca.crt"


class StorageMount(StrEnum):
    """Folders below ``PodPath.STORAGE``: one Secret each, for one purpose."""

    MODEL = "model"
    DATASET = "dataset"
    ARTIFACTS = "artifacts"


class Step(StrEnum):
    """Containers of the optimization Job, in order. Only the first and last hold credentials."""

    FETCH = "fetch"
    BUILD = "build"
    VALIDATE = "validate"
    PUBLISH = "publish"


class ExitCode(IntEnum):
    """How a program tells the operator what kind of end it had (sysexits.h numbers)."""

    OK = 0
    USAGE = 64
    INVALID = 65
    BUG = 70
    TRANSIENT = 75


class ServerMetric(StrEnum):
    """Metric names of the inference server; the operator reads the first ones, too.

    All are labelled ``model``, the request ones also ``door`` (rest, grpc, ...) and ``code``; those
    of the process and its container, which all models share, have no label.
    """

    REQUESTS = "slipway_requests_total"  # label outcome: success | client_error | server_error
    LATENCY = "slipway_request_duration_seconds"  # histogram, of requests that were answered
    NONFINITE = "slipway_nonfinite_outputs_total"
    INFLIGHT = "slipway_requests_in_flight"
    QUEUED = "slipway_requests_queued"
    INFO = "slipway_model_info"  # 1; labels revision, variant, digest
    STARTUP = "slipway_startup_seconds"  # label phase: download, load, warmup, golden, ...
    QUEUE = "slipway_queue_duration_seconds"  # histogram, of requests that came to a run
    RUN = "slipway_run_duration_seconds"  # histogram, of runs: some requests share one
    ROWS = "slipway_run_rows"  # histogram, of runs
    CPU = "process_cpu_seconds_total"  # as Prometheus' own clients call it, and the next
    RESIDENT = "process_resident_memory_bytes"
    WORKING_SET = "slipway_container_working_set_bytes"  # as the kubelet counts it
    MEMORY_LIMIT = "slipway_container_memory_limit_bytes"
    CPU_LIMIT = "slipway_container_cpu_limit_cores"
    PERIODS = "slipway_container_cpu_periods_total"
    THROTTLED_PERIODS = "slipway_container_cpu_throttled_periods_total"
    THROTTLED = "slipway_container_cpu_throttled_seconds_total"


class Outcome(StrEnum):
    """Values of the label ``outcome`` of ``ServerMetric.REQUESTS``."""

    SUCCESS = "success"
    CLIENT_ERROR = "client_error"
    SERVER_ERROR = "server_error"


REPLAY_DOOR: Final = "replay"  # value of the label ``door`` of replayed requests: nobody's traffic
REPLAY_PATH: Final = "/slipway/replay/models/{model}/infer"  # Open Inference Protocol v2, as REST

LATENCY_BUCKETS_SECONDS: Final = (
    0.0005, 0.001, 0.002, 0.003, 0.005, 0.0075, 0.01, 0.015, 0.02, 0.03, 0.05, 0.075,
    0.1, 0.15, 0.2, 0.3, 0.5, 0.75, 1.0, 2.0, 5.0, 10.0,
)  # fmt: skip

# Of queues and runs: a small model runs for less than a tenth of a millisecond.
RUN_BUCKETS_SECONDS: Final = (
    0.00005, 0.0001, 0.00025, 0.0005, 0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0,
    2.5, 5.0, 10.0,
)  # fmt: skip
ROW_BUCKETS: Final = (1, 2, 4, 8, 16, 32, 64, 128, 256)


class Header(StrEnum):
    """Response headers that name what answered."""

    REVISION = "slipway-revision"
    ARTIFACT = "slipway-artifact"
