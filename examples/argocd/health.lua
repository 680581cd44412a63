-- Health of a BioSparkEnvironment. Without it Argo CD takes every environment for healthy, whatever its state is.
--
-- An environment is healthy when it is ready at the generation in git. Where the annotation biospark.ai/argocd-health
-- is Promotion, a sync wave waits for the condition PromotionReady as well: for ever, if the operator does not set it.

local generation = obj.metadata.generation
local status = obj.status

local function health(of, message)
  return { status = of, message = message }
end

local function condition(kind)
  for _, candidate in ipairs(status.conditions or {}) do
    if candidate.type == kind then
      return candidate
    end
  end
  return nil
end

local function is_true(candidate)
  return candidate ~= nil and candidate.status == "True"
end

-- An entry without observedGeneration counts as of this one.
local function outdated(candidate)
  return candidate.observedGeneration ~= nil and candidate.observedGeneration ~= generation
end

local function said(candidate)
  local reason, message = candidate.reason or "", candidate.message or ""
  if reason ~= "" and message ~= "" then
    return reason .. ": " .. message
  end
  return reason .. message
end

if obj.spec ~= nil and obj.spec.suspend == true then
  return health("Suspended", "spec.suspend is true: nothing is done")
end
if status == nil or status.observedGeneration == nil then
  return health("Progressing", "Waiting for the operator: no status yet")
end

local waiting = "Waiting for the operator to observe generation " .. string.format("%d", generation)
if status.observedGeneration ~= generation then
  return health("Progressing", waiting)
end

local stalled = condition("Stalled")
if is_true(stalled) then
  return health("Degraded", said(stalled))
end
local reconciling = condition("Reconciling")
if is_true(reconciling) then
  return health("Progressing", said(reconciling))
end

local ready = condition("Ready")
if ready == nil or outdated(ready) then
  return health("Progressing", waiting)
end
if ready.status == "False" then
  return health("Degraded", said(ready))
end
if ready.status ~= "True" then
  return health("Progressing", said(ready))
end

local promotion = condition("PromotionReady")
local annotations = obj.metadata.annotations or {}
if is_true(promotion) and not outdated(promotion) then
  return health("Healthy", said(ready))
end
local wanted = annotations["biospark.ai/argocd-health"] == "Promotion"
if promotion == nil and not wanted then
  return health("Healthy", said(ready))
end
local message = "Ready; promotion waits: " .. (promotion and said(promotion) or "PromotionReady is not set yet")
return health(wanted and "Progressing" or "Healthy", message)
