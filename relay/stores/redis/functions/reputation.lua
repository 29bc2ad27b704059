-- Reputation: how each stream's mail is received, and which streams are paused.

local pause_of, count_sent, keep_sums

do
  -- Fields of a pause.
  local PAUSED_AT, PAUSED_BY, MEASURE, PAUSE_REASON, PAUSE_REASON_ZH = 1, 2, 3, 4, 5

  local PAUSES = TAG .. "pauses"
  local COUNTED_FROM = TAG .. "from"
  local SENDING = TAG .. "sending"
  local DAY = 86400
  local KEPT_DAYS = 31 -- of counts; no window is longer

  local function day_key(stream, day)
    return string.format("%sn:%d:%s", TAG, day, stream)
  end

  local function feedback_key(stream, measure)
    return TAG .. "f:" .. measure .. ":" .. stream
  end

  local function first_day(now, window)
    return math.floor(now / DAY) - window + 1
  end

  -- An empty list: not paused.
  function pause_of(step, stream)
    local packed = stream ~= "" and hash_get(step, PAUSES, stream)
    if not packed then
      return {}
    end
    return { stream, unpack(unpack_list(packed), PAUSED_AT, PAUSE_REASON_ZH) }
  end

  function count_sent(step, stream, field)
    local key = day_key(stream, math.floor(step.now / DAY))
    step.sums[key] = step.sums[key] or {}
    step.sums[key][field] = (step.sums[key][field] or 0) + 1
  end

  function keep_sums(step)
    for key, fields in pairs(step.sums) do
      for field, by in pairs(fields) do
        write(step, "HINCRBY", key, field, by)
      end
      write(step, "EXPIRE", key, (KEPT_DAYS + 1) * DAY)
    end
  end

  function OPERATIONS.paused(step)
    local pauses, all = {}, redis.call("HKEYS", PAUSES)
    for i, stream in ipairs(all) do
      pauses[i] = pause_of(step, stream)
    end
    return pauses
  end

  function OPERATIONS.pause(step)
    local stream, fields, counted_from = take(step), take_list(step), take(step)
    local is_stale = counted_from ~= "" and tonumber(counted_from) ~= tonumber(hash_get(step, COUNTED_FROM, stream) or 0)
    if is_stale or hash_get(step, PAUSES, stream) then
      return 0
    end
    hash_set(step, PAUSES, stream, pack(fields))
    return 1
  end

  function OPERATIONS.resume(step)
    local stream = take(step)
    local ended = pause_of(step, stream)
    if #ended > 0 then
      hash_set(step, PAUSES, stream, false)
      hash_set(step, COUNTED_FROM, stream, step.now_text)
      for day = first_day(step.now, KEPT_DAYS), first_day(step.now, 0) do
        write(step, "UNLINK", day_key(stream, day))
      end
      write(step, "UNLINK", feedback_key(stream, "complaints"), feedback_key(stream, "hard_bounces"))
    end
    return ended
  end

  function OPERATIONS.note(step)
    local begin = first_day(step.now, KEPT_DAYS) * DAY
    for _ = 1, take_number(step) do
      local stream, measure, member, sent_at = take(step), take(step), take(step), take(step)
      local key, at = feedback_key(stream, measure), tonumber(sent_at)
      if at >= begin and at >= tonumber(hash_get(step, COUNTED_FROM, stream) or 0) then
        write(step, "ZADD", key, sent_at, member)
        step.noted[key] = true
      end
    end
    for key in pairs(step.noted) do
      write(step, "ZREMRANGEBYSCORE", key, "-inf", "(" .. begin)
      write(step, "EXPIRE", key, (KEPT_DAYS + 1) * DAY)
    end
    return 1
  end

  local function tally(step, stream, begin)
    local delivered, refused = 0, 0
    for day = begin, first_day(step.now, 0) do
      local found = redis.call("HMGET", day_key(stream, day), "delivered", "refused")
      delivered, refused = delivered + (found[1] or 0), refused + (found[2] or 0)
    end
    local function came_back(measure)
      return redis.call("ZCOUNT", feedback_key(stream, measure), begin * DAY, "+inf")
    end
    local counted_from = hash_get(step, COUNTED_FROM, stream) or "0"
    return { delivered, refused, came_back("hard_bounces"), came_back("complaints"), counted_from }
  end

  function OPERATIONS.tallies(step)
    local answer = {}
    for i = 1, take_number(step) do
      local stream, window = take(step), take_number(step)
      answer[i] = tally(step, stream, first_day(step.now, window))
    end
    return answer
  end

  function OPERATIONS.note_sending(step)
    local stream, day = take(step), take(step)
    local days, last = 0, ""
    local packed = hash_get(step, SENDING, stream)
    if packed then
      days, last = unpack(unpack_list(packed))
    end
    if last < day then
      hash_set(step, SENDING, stream, pack({ days + 1, day }))
    end
    return 1
  end

  function OPERATIONS.sending_days(step)
    local answer = {}
    for i, stream in ipairs(take_list(step)) do
      local packed = hash_get(step, SENDING, stream)
      answer[i] = packed and unpack_list(packed) or { 0, "" }
    end
    return answer
  end
end
