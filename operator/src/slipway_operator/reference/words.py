"""What metrics, phases, conditions, reasons and events mean, in users' words. Pure."""

from typing import Final

from slipway.api.v1alpha1.status import ConditionType, Phase
from slipway.contract import ServerMetric

# name -> (type, labels, what it says)
SERVER_METRICS: Final[dict[ServerMetric, tuple[str, str, str]]] = {
    ServerMetric.REQUESTS: (
        "counter",
        "`model`, `door`, `code`, `outcome`",
        (
            "Requests answered. `outcome` is `success`, `client_error` or `server_error`; a "
            "canary's success rate counts the first against the last."
        ),
    ),
    ServerMetric.LATENCY: (
        "histogram",
        "`model`, `door`, `code`",
        "Seconds from a request's arrival to its answer.",
    ),
    ServerMetric.NONFINITE: (
        "counter",
        "`model`",
        "Answers with NaN or infinity in an output.",
    ),
    ServerMetric.INFLIGHT: ("gauge", "`model`", "Requests that are being computed."),
    ServerMetric.QUEUED: ("gauge", "`model`", "Requests that wait for their turn."),
    ServerMetric.INFO: (
        "gauge",
        "`model`, `revision`, `variant`, `digest`",
        "Always 1; says what this pod serves.",
    ),
    ServerMetric.STARTUP: (
        "gauge",
        "`model`, `phase`",
        "Seconds that each phase of the start took: download, load, warm-up and so on.",
    ),
    ServerMetric.QUEUE: (
        "histogram",
        "`model`",
        "Seconds that a request waited, decoded, for its run. The count is of requests that ran.",
    ),
    ServerMetric.RUN: (
        "histogram",
        "`model`",
        "Seconds of ONNX Runtime for one run, which several requests may share.",
    ),
    ServerMetric.ROWS: ("histogram", "`model`", "Rows of one run: how well batching works."),
    ServerMetric.CPU: ("counter", "", "CPU seconds of the process, all threads."),
    ServerMetric.RESIDENT: ("gauge", "", "Memory of the process, mapped weights included."),
    ServerMetric.WORKING_SET: (
        "gauge",
        "",
        "Memory of the container as the kubelet counts it: usage without inactive file pages.",
    ),
    ServerMetric.MEMORY_LIMIT: ("gauge", "", "The container's memory limit, where it has one."),
    ServerMetric.CPU_LIMIT: ("gauge", "", "The container's CPU limit, where it has one."),
    ServerMetric.PERIODS: ("counter", "", "Periods in which the CPU limit was in force."),
    ServerMetric.THROTTLED_PERIODS: (
        "counter",
        "",
        "Those of them in which the container was stopped, because it had used its share.",
    ),
    ServerMetric.THROTTLED: ("counter", "", "Seconds that its threads were stopped so."),
}

PHASES: Final[dict[Phase, str]] = {
    Phase.PENDING: "Waits for something; the message says for what.",
    Phase.OPTIMIZING: "The Job fetches the model or builds its variants.",
    Phase.VALIDATING: "The Job measures the variants against the gates, or publishes the pick.",
    Phase.PROGRESSING: "Pods start, or a canary is judged.",
    Phase.PAUSED: "A step waits for `slipway promote`.",
    Phase.HEALTHY: "The revision that the spec asks for serves with all its pods.",
    Phase.DEGRADED: "A revision was refused, or pods that should serve do not. What served "
    "before goes on serving.",
}

CONDITIONS: Final[dict[ConditionType, str]] = {
    ConditionType.READY: "The stable revision serves. A failed canary leaves it `True`.",
    ConditionType.OPTIMIZED: "The newest revision's variants were built and one was picked.",
    ConditionType.VALIDATED: "The newest revision passed its gates.",
    ConditionType.ROLLED_OUT: "The revision that the spec asks for is the stable one.",
    ConditionType.RECONCILING: "Present only while something is under way (kstatus).",
    ConditionType.STALLED: "Present only when nothing goes on until somebody acts (kstatus).",
}

# What the operator itself gives as a reason, and what to do about it.
REASONS: Final[dict[str, str]] = {
    "Aborted": "Somebody asked for `slipway abort`. `slipway retry` tries the revision again.",
    "AnalysisFailed": "A metric of the canary broke its bound more often than `failureLimit`. "
    "The message has the numbers.",
    "AnalysisInconclusive": "The canary saw too little to be judged before "
    "`progressDeadlineSeconds`. Lower `minRequests`, or use `noDataPolicy: Replay`.",
    "CacheHit": "The same inputs were optimised before; nothing was built.",
    "ChildRefused": "The API server refused an object that the operator made, for instance by a "
    "quota or a policy. The message is the API server's.",
    "ContainerFailed": "A container ended with an error. See `slipway logs`.",
    "CreateContainerConfigError": "The kubelet could not make a container. The message is its own.",
    "CreateContainerError": "The kubelet could not make a container. The message is its own.",
    "ImagePullFailed": "An image cannot be pulled. Check its name and `imagePullSecrets`.",
    "InProgress": "The rollout goes on.",
    "NoReadyPods": "No pod of the stable revision is ready, and no pod says why.",
    "NothingServes": "No revision serves yet.",
    "OptimizationFailed": "The Job failed without a report. See `slipway logs`.",
    "OptimizationTimedOut": "The Job ran into `job.activeDeadlineSeconds`. Raise it, or give the "
    "Job more CPU.",
    "OutOfMemory": "A container was killed for lack of memory. Raise its memory limit.",
    "PodMissing": "The Job controller has not created the Job's pod yet.",
    "PodStarting": "The Job's pod is being started.",
    "ProgressDeadlineExceeded": "Pods were not ready within `progressDeadlineSeconds`.",
    "Promoted": "The revision is the stable one.",
    "ReportLost": "The Job's pod went before its report was read. The Job runs again.",
    "RunContainerError": "The kubelet could not start a container. The message is its own.",
    "Running": "A step of the Job runs.",
    "SpecInvalid": "The spec cannot be carried out. The message names the field and the remedy.",
    "StableServes": "The stable revision has ready pods.",
    "Unschedulable": "No node fits a pod. The message is the scheduler's.",
    "VariantSelected": "One variant was picked among those that passed.",
}

EVENTS: Final[dict[str, str]] = {
    "Aborted": "A rollout ended by `slipway abort`.",
    "AnalysisFailed": "A judgement of the canary failed.",
    "CanaryStarted": "A revision gets its first share of the requests.",
    "DeploymentStarted": "The first revision starts; nothing served before.",
    "OptimizationCacheHit": "The Job found the same inputs optimised already.",
    "OptimizationFinished": "The Job has an outcome.",
    "OptimizationStarted": "The Job was created, or its first step runs.",
    "Promoted": "A revision became the stable one.",
    "RetryRequested": "A refused revision is tried again.",
    "RolledBack": "A canary was taken back; the stable revision serves everything again.",
    "RolloutSuperseded": "The spec changed during a rollout.",
    "WeightChanged": "The canary's share of the requests changed.",
}
