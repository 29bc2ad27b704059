-- The functions themselves.

local function carry_out(operation, step)
  local answer, refusal = OPERATIONS[operation](step)
  if refusal then
    return { 2, refusal }
  end
  keep_number(step)
  keep_windows(step)
  keep_sums(step)
  for field, by in pairs(step.counts) do
    write(step, "HINCRBY", COUNT, field, by)
  end
  write_down(step)
  return { 1, answer }
end

local function words_of(text)
  local words = {}
  for word in string.gmatch(text, "%S+") do
    words[word] = true
  end
  return words
end

-- Every generation that the store was written with must be in the caller's ring.
local function fault_of(id, schema, fingerprints)
  local meta = redis.call("HMGET", META, "id", "schema", "fingerprints")
  if not meta[1] then
    return "empty"
  elseif meta[1] ~= id then
    return "foreign"
  elseif meta[2] ~= schema then
    return "schema"
  elseif meta[3] ~= fingerprints then
    local known = words_of(fingerprints)
    for fingerprint in pairs(words_of(meta[3])) do
      if not known[fingerprint] then
        return "keys"
      end
    end
  end
end

local function clock(given)
  if given ~= "" then
    return tonumber(given)
  end
  local time = redis.call("TIME")
  return tonumber(time[1]) + tonumber(time[2]) / 1e6
end

local function tick(_, arguments)
  local fault = fault_of(arguments[1], arguments[2], arguments[3])
  if fault then
    return { fault }
  end
  local now, position, last = clock(arguments[4]), 5, #arguments
  local answers = { "ok" }
  while position <= last do
    local ended, answer = pcall(carry_out, arguments[position], new_step(arguments, position + 2, now))
    if not ended then
      answer = { 0, tostring(type(answer) == "table" and answer.err or answer) }
    end
    answers[#answers + 1] = answer
    position = position + 2 + tonumber(arguments[position + 1])
  end
  return answers
end

local function meta()
  return redis.call("HMGET", META, "id", "schema", "fingerprints")
end

local function create(_, arguments)
  if redis.call("EXISTS", META) == 0 then
    redis.call("HSET", META, "id", arguments[1], "schema", arguments[2], "fingerprints", arguments[3])
  end
  return meta()
end

local function extend(_, arguments)
  local fault = fault_of(arguments[1], arguments[2], arguments[3] .. " " .. arguments[4])
  if not fault then
    local known = words_of(redis.call("HGET", META, "fingerprints") .. " " .. arguments[4])
    local list = {}
    for fingerprint in pairs(known) do
      list[#list + 1] = fingerprint
    end
    table.sort(list)
    redis.call("HSET", META, "fingerprints", table.concat(list, " "))
  end
  return { fault or "ok" }
end

redis.register_function(LIBRARY .. "_tick", tick)
redis.register_function({ function_name = LIBRARY .. "_tick_when_full", callback = tick, flags = { "allow-oom" } })
redis.register_function({ function_name = LIBRARY .. "_meta", callback = meta, flags = { "no-writes" } })
redis.register_function(LIBRARY .. "_create", create)
redis.register_function(LIBRARY .. "_extend", extend)
