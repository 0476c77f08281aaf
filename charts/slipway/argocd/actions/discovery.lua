-- Which actions a ModelDeployment takes now.
local status = obj.status or {}
local actions = {
  promote = { ["disabled"] = true },
  abort = { ["disabled"] = true },
  retry = { ["disabled"] = true },
}

if status.canary ~= nil and status.rollout ~= nil then
  actions.abort["disabled"] = false
  if status.stable ~= nil and status.rollout.weight.desired < 100 then
    actions.promote["disabled"] = false
  end
end

local target = status.targetRevision
if target ~= nil then
  if status.retry ~= nil and status.retry.revision == target then
    actions.retry["disabled"] = false
  end
  for _, rejected in ipairs(status.rejectedRevisions or {}) do
    if rejected.revision == target then
      actions.retry["disabled"] = false
    end
  end
end
return actions
