-- Consents: what people agreed to, event by event; the relay works out what stands of them.

-- Fields of an event that are looked at here. NUMBER is that of the step which recorded the end of a consent, "0" of others;
-- events of an earlier version end before PURPOSE.
local CONSENT_ID, CONSENT_DIGEST, CONSENT_AT = 1, 2, 5

local bucket, consents_of, keep_consent, withdrawn_ground

do
  local EVENT, PURPOSE, NUMBER = 4, 9, 12
  local ENDING = { withdrawn = true, objected = true }
  local EXPORT_ROWS, EXPORT_BUCKETS = 500, 512 -- bounds of one step of an export

  -- A mailbox's place among those of its kind: the first twelve bits of its digest name the hash.
  function bucket(kind, digest)
    local first, second = string.byte(digest, 1, 2)
    return string.format("%s%s:%03x", TAG, kind, (first or 0) * 16 + math.floor((second or 0) / 16))
  end

  function consents_of(step, digest)
    local packed = hash_get(step, bucket("c", digest), digest)
    return packed and unpack_list(packed) or {}
  end

  -- Whether it is new: an id that is known changes nothing.
  function keep_consent(step, event)
    local digest = event[CONSENT_DIGEST]
    local events = consents_of(step, digest)
    for _, known in ipairs(events) do
      if known[CONSENT_ID] == event[CONSENT_ID] then
        return false
      end
    end
    event[NUMBER] = ENDING[event[EVENT]] and string.format("%.0f", number_of(step)) or "0"
    events[#events + 1] = event
    hash_set(step, bucket("c", digest), digest, pack(events))
    return true
  end

  local function covers(given, needed)
    return given ~= "" and (given == needed or string.sub(needed, 1, #given + 1) == given .. ":")
  end

  local function is_ended(step, digests, purpose, at)
    for _, digest in ipairs(digests) do
      for _, event in ipairs(consents_of(step, digest)) do
        local told = event[PURPOSE] or ""
        if ENDING[event[EVENT]] and tonumber(event[CONSENT_AT]) >= at and (covers(told, purpose) or covers(purpose, told)) then
          return true
        end
      end
    end
    return false
  end

  -- The number of the first ground that does not stand any more; the arguments are their purposes and times, one after the other.
  function withdrawn_ground(step, digests, grounds)
    for i = 1, #grounds, 2 do
      if is_ended(step, digests, grounds[i], tonumber(grounds[i + 1])) then
        return (i - 1) / 2
      end
    end
  end

  function OPERATIONS.consents(step)
    local answer = {}
    for i = 1, take_number(step) do
      local found = {}
      for _, digest in ipairs(take_list(step)) do
        for _, event in ipairs(consents_of(step, digest)) do
          found[#found + 1] = event
        end
      end
      answer[i] = found
    end
    return answer
  end

  function OPERATIONS.record_consents(step)
    local new = 0
    for _ = 1, take_number(step) do
      if keep_consent(step, take_list(step)) then
        new = new + 1
      end
    end
    return new
  end

  function OPERATIONS.export_consents(step)
    local first, rows = take_number(step), {}
    local number = first
    while number < 4096 and number < first + EXPORT_BUCKETS and #rows < EXPORT_ROWS do
      for _, packed in ipairs(redis.call("HVALS", string.format("%sc:%03x", TAG, number))) do
        for _, event in ipairs(unpack_list(packed)) do
          rows[#rows + 1] = event
        end
      end
      number = number + 1
    end
    return { number < 4096 and number or -1, rows }
  end
end
