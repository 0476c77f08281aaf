-- Try the revision that the spec asks for again. The value names the revision and the failure meant:
-- asked twice for one failure, it is carried out once.
local status = obj.status or {}
local target = status.targetRevision
if target == nil then
  return obj
end
local failure = nil
if status.retry ~= nil and status.retry.revision == target then
  failure = status.retry.jobUid
end
for _, rejected in ipairs(status.rejectedRevisions or {}) do
  if rejected.revision == target then
    failure = rejected.time
  end
end
if failure == nil then
  return obj
end
if obj.metadata.annotations == nil then
  obj.metadata.annotations = {}
end
obj.metadata.annotations["slipway.dev/retry"] = target .. "/" .. failure
return obj
