-- End the rollout and take the canary back. The value names the revision and the step meant: one that
-- comes too late changes nothing.
local status = obj.status or {}
if status.canary == nil or status.rollout == nil then
  return obj
end
if obj.metadata.annotations == nil then
  obj.metadata.annotations = {}
end
obj.metadata.annotations["slipway.dev/abort"] =
  status.canary.revision .. "/" .. status.rollout.stepStartedAt
return obj
