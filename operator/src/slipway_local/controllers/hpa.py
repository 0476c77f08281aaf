"""HorizontalPodAutoscalers (autoscaling/v2) on CPU and memory utilisation.

Left out: scaling policies (pods or percent per period), and metrics other than ``Resource``.
"""

import math
from collections import defaultdict
from collections.abc import Callable
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Final

from slipway.api.quantity import parse_quantity
from slipway_local.controllers.owning import is_active, is_ready, with_condition
from slipway_local.objects import Objects
from slipway_local.pods.runtime import Usage
from slipway_local.store.schema import SCALABLE
from slipway_local.store.selectors import matches, selector_of
from slipway_operator.plan.objects import Object, Ref, format_time, labels, ref_of

_TOLERANCE: Final = 0.1
_DOWN_WINDOW: Final = 300  # seconds, when behavior does not say
_UP_WINDOW: Final = 0


@dataclass(frozen=True, slots=True)
class Sample:
    """One pod of the target. ``usage`` and ``request`` share a unit; None: not known."""

    usage: float | None
    request: float
    ready: bool


@dataclass(frozen=True, slots=True)
class Proposal:
    """What one metric asks for, and the utilisation in percent that it was made from."""

    replicas: int
    utilization: int


def propose(samples: list[Sample], target: int, current: int) -> Proposal | None:
    """``ceil(ratio * ready pods)``, ratio = utilisation / target; None when nothing is known.

    Within the tolerance of 10 % nothing changes. Pods that are not ready, or whose usage is not
    known, damp the answer: they count as idle when it grows, as at their target when it shrinks.
    Worked example: two ready pods at 150 % of their request, target 75 -> ratio 2 -> 4.
    """
    known = [s for s in samples if s.usage is not None and s.ready]
    requested = sum(s.request for s in known)
    if not known or requested <= 0:
        return None
    used = sum(s.usage or 0.0 for s in known)
    utilization = math.floor(round(used / requested * 100, 6))
    ratio = used / requested * 100 / target
    others = [s for s in samples if s not in known]
    if abs(1 - ratio) <= _TOLERANCE:
        return Proposal(current, utilization)
    if not others:
        return Proposal(math.ceil(round(ratio * len(known), 6)), utilization)
    fill = sum(s.request for s in others if s.usage is None and s.ready) * target / 100
    total = requested + sum(s.request for s in others if ratio > 1 or s.ready)
    damped = (used + (fill if ratio < 1 else 0.0)) / total * 100 / target
    if abs(1 - damped) <= _TOLERANCE or (ratio > 1) != (damped > 1):
        return Proposal(current, utilization)
    counted = len(samples) if ratio > 1 else len(known) + sum(s.ready for s in others)
    wanted = math.ceil(round(damped * counted, 6))
    if (ratio > 1 and wanted < current) or (ratio < 1 and wanted > current):
        wanted = current
    return Proposal(wanted, utilization)


def stabilize(
    history: list[tuple[datetime, int]], current: int, behavior: Object, now: datetime
) -> int:
    """The newest recommendation, held by the windows of ``behavior``.

    Down: not below the highest recommendation of the last 300 s (``scaleDown``); up: not above the
    lowest of the last 0 s (``scaleUp``).
    """
    up = _window(behavior, "scaleUp", _UP_WINDOW)
    down = _window(behavior, "scaleDown", _DOWN_WINDOW)
    newest = history[-1][1]
    lowest = min([newest, *(n for at, n in history if now - at < up)])
    highest = max([newest, *(n for at, n in history if now - at < down)])
    return min(max(current, lowest), highest)


def _window(behavior: Object, direction: str, otherwise: int) -> timedelta:
    found = (behavior.get(direction) or {}).get("stabilizationWindowSeconds")
    return timedelta(seconds=otherwise if found is None else found)


class Autoscaler:
    """The controller; it keeps recent recommendations in memory, as the real one does.

    Args:
        usage: what a pod uses.
        period: seconds between two looks.
    """

    def __init__(self, usage: Callable[[Ref], Usage | None], *, period: float = 15.0) -> None:
        self._usage = usage
        self._period = timedelta(seconds=period)
        self._due: dict[str, datetime] = {}
        self._history: dict[str, list[tuple[datetime, int]]] = defaultdict(list)

    def step(self, objects: Objects, now: datetime) -> list[str]:
        """Look at every autoscaler whose period is over."""
        deeds = []
        scalers = {hpa["metadata"]["uid"]: hpa for hpa in objects.select("HorizontalPodAutoscaler")}
        for uid in [uid for uid in self._due if uid not in scalers]:
            del self._due[uid]
            self._history.pop(uid, None)
        for uid, hpa in scalers.items():
            if now >= self._due.get(uid, now):
                self._due[uid] = now + self._period
                deeds += self._scale(objects, hpa, now)
        return deeds

    def _scale(self, objects: Objects, hpa: Object, now: datetime) -> list[str]:
        meta, spec = hpa["metadata"], hpa["spec"]
        target = Ref(
            spec["scaleTargetRef"]["kind"], meta["namespace"], spec["scaleTargetRef"]["name"]
        )
        found = objects.find(target) if target.kind in SCALABLE else None
        status = dict(hpa.get("status") or {})
        if found is None:
            text = f'deployments/scale.apps "{target.name}" not found'
            self._report(
                objects, hpa, status, ("AbleToScale", "False", "FailedGetScale", text), now
            )
            return []
        current = found["spec"].get("replicas", 1)
        status |= {"currentReplicas": current, "desiredReplicas": current}
        if current == 0:
            text = "scaling is disabled since the replica count of the target is zero"
            wanted = ("ScalingActive", "False", "ScalingDisabled", text)
            self._report(objects, hpa, status, wanted, now)
            return []
        desired, active = self._desired(objects, hpa, found, status, now)
        status["desiredReplicas"] = desired
        deeds = []
        if desired != current:
            objects.patch(target, {"spec": {"replicas": desired}}, "scale")
            status["lastScaleTime"] = format_time(now)
            deeds.append(f"HPA {meta['name']}: scaled {target.name} {current} -> {desired}")
        self._report(objects, hpa, status, active, now)
        return deeds

    def _desired(
        self, objects: Objects, hpa: Object, found: Object, status: Object, now: datetime
    ) -> tuple[int, tuple[str, str, str, str]]:
        spec, uid = hpa["spec"], hpa["metadata"]["uid"]
        current = found["spec"].get("replicas", 1)
        proposals, status["currentMetrics"] = self._proposals(objects, spec, found, current)
        if proposals:
            history = self._history[uid]
            bounded = min(max(*proposals, spec["minReplicas"]), spec["maxReplicas"])
            history.append((now, bounded))
            behavior = spec.get("behavior") or {}
            windows = [_window(behavior, d, _DOWN_WINDOW) for d in ("scaleUp", "scaleDown")]
            self._history[uid] = [entry for entry in history if now - entry[0] < max(windows)]
            wanted = stabilize(history, current, behavior, now)
            active = ("ScalingActive", "True", "ValidMetricFound", "replicas follow its metrics")
        else:
            wanted = current
            text = "no ready pod of the target has a known usage and a request yet"
            active = ("ScalingActive", "False", "FailedGetResourceMetric", text)
        return min(max(wanted, spec["minReplicas"]), spec["maxReplicas"]), active

    def _proposals(
        self, objects: Objects, spec: Object, found: Object, current: int
    ) -> tuple[list[int], list[Object]]:
        selector = selector_of(found["spec"].get("selector"))
        pods = [
            pod
            for pod in objects.select("Pod", found["metadata"]["namespace"])
            if is_active(pod) and matches(selector, labels(pod))
        ]
        proposals, metrics = [], []
        for metric in spec["metrics"]:
            if metric["type"] != "Resource":
                continue
            name = metric["resource"]["name"]
            samples = [self._sample(pod, name) for pod in pods]
            percent = metric["resource"]["target"]["averageUtilization"]
            proposal = propose(samples, percent, current)
            if proposal is not None:
                proposals.append(proposal.replicas)
                shown = {"averageUtilization": proposal.utilization}
                metrics.append({"type": "Resource", "resource": {"name": name, "current": shown}})
        return proposals, metrics

    def _sample(self, pod: Object, name: str) -> Sample:
        usage = self._usage(ref_of(pod))
        used = None if usage is None else usage.cpu if name == "cpu" else usage.memory
        request = sum(
            float(parse_quantity((c["resources"].get("requests") or {}).get(name, "0")))
            for c in pod["spec"]["containers"]
        )
        return Sample(used, request, is_ready(pod))

    def _report(
        self,
        objects: Objects,
        hpa: Object,
        status: Object,
        wanted: tuple[str, str, str, str],
        now: datetime,
    ) -> None:
        if wanted[0] != "AbleToScale":
            able = ("AbleToScale", "True", "ReadyForNewScale", "the target's scale can be written")
            status["conditions"] = with_condition(status, able, now, stamps_updates=False)
        status["conditions"] = with_condition(status, wanted, now, stamps_updates=False)
        objects.set_status(ref_of(hpa), status)
