-- What wrk sends: `wrk … -s requests.lua URL -- OPERATION TOKEN FILE SEED`, and its figures as one line of JSON.
-- FILE has the ids of patients, one a line, or the body of a login. SEED makes the new patients different.

local sent, requests = 0, {}

function init(args)
  local operation, token, file, seed = args[1], args[2], args[3], args[4]
  local headers = { ["Authorization"] = "Bearer " .. token, ["Content-Type"] = "application/json" }
  local path = "/api/v1/patients"
  if operation == "list" then
    requests[1] = wrk.format("GET", path .. "?limit=50&offset=0", headers)
  elseif operation == "get" then
    for id in io.lines(file) do
      requests[#requests + 1] = wrk.format("GET", path .. "/" .. id, headers)
    end
  elseif operation == "login" then
    requests[1] = wrk.format("POST", "/api/v1/auth/login", headers, io.lines(file)())
  elseif operation == "create" then
    request = function()
      sent = sent + 1
      return wrk.format("POST", path, headers, string.format(
        '{"first_name":"Ada","last_name":"Created","date_of_birth":"1985-12-10",' ..
        '"email":"%s.%d@example.org","phone":"+44 20 7946 0958"}', seed, sent))
    end
  else
    error("no such operation: " .. operation)
  end
end

function request()
  sent = sent + 1
  return requests[(sent - 1) % #requests + 1]
end

function done(summary, latency)
  local errors = summary.errors
  io.write(string.format(
    '\n{"requests":%d,"microseconds":%d,"statuses":%d,"connections":%d,"p50":%d,"p99":%d}\n',
    summary.requests, summary.duration, errors.status,
    errors.connect + errors.read + errors.write + errors.timeout, latency:percentile(50), latency:percentile(99)))
end
