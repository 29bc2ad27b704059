-- Consents: what people agreed to, event by event; the relay works out what stands of them.

-- Fields of an event that are looked at here. NUMBER is that of the step which recorded the end of a consent, "0" of others;
-- events of an earlier version end before PURPOSE.
local CONSENT_ID, CONSENT_DIGEST, CONSENT_AT = 1, 2, 5

local bucket, found_of_each, export_step, consents_of, names_countries, add_consents, keep_consent, withdrawn_ground

do
  local EVENT, PURPOSE, SAID, NUMBER = 4, 9, 11, 12
  local COUNTRIES = TAG .. "countries"
  local NAMES_COUNTRY = '"country":"' -- as the relay writes what is said; a text that somebody gave has its quotes escaped
  local ENDING = { withdrawn = true, objected = true }
  local EXPORT_ROWS, EXPORT_BUCKETS = 500, 512 -- bounds of one step of an export

  -- A mailbox's place among those of its kind: the first twelve bits of its digest name the hash.
  function bucket(kind, digest)
    local first, second = string.byte(digest, 1, 2)
    return string.format("%s%s:%03x", TAG, kind, (first or 0) * 16 + math.floor((second or 0) / 16))
  end

  -- Per recipient, what `add` puts into a list for each of its digests; it is told the recipient's number too.
  function found_of_each(step, add)
    local answer = {}
    for i = 1, take_number(step) do
      answer[i] = {}
      for _, digest in ipairs(take_list(step)) do
        add(answer[i], digest, i)
      end
    end
    return answer
  end

  -- Some rows of a kind, from the hash whose number is asked for on; and the number to ask for next, -1 after the last.
  function export_step(step, kind, told)
    local number, rows = take_number(step), {}
    local stop = math.min(4096, number + EXPORT_BUCKETS)
    while number < stop and #rows < EXPORT_ROWS do
      local all = redis.call("HGETALL", string.format("%s%s:%03x", TAG, kind, number))
      for i = 1, #all, 2 do
        for _, row in ipairs(unpack_list(all[i + 1])) do
          rows[#rows + 1] = told(all[i], row)
        end
      end
      number = number + 1
    end
    return { number < 4096 and number or -1, rows }
  end

  function consents_of(step, digest)
    local packed = hash_get(step, bucket("c", digest), digest)
    return packed and unpack_list(packed) or {}
  end

  local function names_country(event)
    return string.find(event[SAID] or "", NAMES_COUNTRY, 1, true) ~= nil
  end

  -- Whether any event of anybody names a country.
  function names_countries()
    return redis.call("EXISTS", COUNTRIES) == 1
  end

  -- Add those of the mailbox to the list: the whole of them, or those that name a country.
  function add_consents(step, found, digest, whole)
    for _, event in ipairs(consents_of(step, digest)) do
      if whole or names_country(event) then
        found[#found + 1] = event
      end
    end
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
    if names_country(event) and not step.names_country then
      step.names_country = true
      write(step, "SET", COUNTRIES, "1")
    end
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
    return found_of_each(step, function(found, digest)
      add_consents(step, found, digest, true)
    end)
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
    return export_step(step, "c", function(_, event)
      return event
    end)
  end
end
