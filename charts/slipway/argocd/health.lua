-- Health of a ModelDeployment for Argo CD. Reads phase, message and the condition Stalled only: a
-- condition that a later release adds changes nothing here.
local health = { status = "Progressing", message = "waits for the operator" }
local status = obj.status
if status == nil or status.observedGeneration == nil then
  return health
end
if obj.metadata.generation ~= nil and status.observedGeneration ~= obj.metadata.generation then
  health.message = "waits for the operator to see the newest spec"
  return health
end

if status.message ~= nil and status.message ~= "" then
  health.message = status.message
else
  health.message = status.phase or ""
end

local stalled = false
for _, condition in ipairs(status.conditions or {}) do
  if condition.type == "Stalled" and condition.status == "True" then
    stalled = true
  end
end

if stalled or status.phase == "Degraded" then
  health.status = "Degraded"
elseif status.phase == "Paused" then
  health.status = "Suspended"
elseif status.phase == "Healthy" then
  health.status = "Healthy"
end
return health
