-- Suppressions.

-- Fields of a suppression; between REASON and AT lies its origin, before EXPIRES what is sealed and a note. "" is none.
-- AGAIN_AT is when it was said last, CONSENTED_AT the time of the consent that lifted it, NUMBER that of the step that
-- brought it in force, IN_FLIGHT the submissions with a copy on its way then; entries of an earlier version lack these two.
local SCOPE, REASON, AT, AGAIN_AT, EXPIRES, LIFTED_AT, LIFTED_BY, CONSENTED_AT = 1, 2, 4, 5, 8, 9, 10, 11
local NUMBER, IN_FLIGHT = 12, 13

local entries_of, in_force, told

do
  function entries_of(step, digest)
    local packed = hash_get(step, bucket("s", digest), digest)
    return packed and unpack_list(packed) or {}
  end

  local function keep_entries(step, digest, entries)
    hash_set(step, bucket("s", digest), digest, pack(entries))
  end

  local function is_expired(entry, now)
    return entry[EXPIRES] ~= "" and tonumber(entry[EXPIRES]) <= now
  end

  function in_force(entry, now)
    return entry[LIFTED_AT] == "" and not is_expired(entry, now)
  end

  function told(digest, entry)
    local answer = { digest, unpack(entry, SCOPE, CONSENTED_AT) }
    answer[#answer + 1] = entry[NUMBER] or 0
    answer[#answer + 1] = entry[IN_FLIGHT] or ""
    return answer
  end

  local function count_entry(step, entry, by)
    local field = entry[REASON] .. "\0" .. entry[SCOPE]
    step.counts[field] = (step.counts[field] or 0) + by
  end

  local function ends_key(entry)
    return TAG .. "ends:" .. entry[REASON] .. ":" .. entry[SCOPE]
  end

  local function uncount(step, digest, entry)
    count_entry(step, entry, -1)
    if entry[EXPIRES] ~= "" then
      write(step, "ZREM", ends_key(entry), digest)
    end
  end

  local function latest(entries, scope, reason)
    for i = #entries, 1, -1 do
      if entries[i][SCOPE] == scope and entries[i][REASON] == reason then
        return entries[i]
      end
    end
  end

  local function add_in_force(step, found, digest)
    for _, entry in ipairs(entries_of(step, digest)) do
      if in_force(entry, step.now) then
        found[#found + 1] = told(digest, entry)
      end
    end
  end

  function OPERATIONS.find(step)
    return found_of_each(step, function(found, digest)
      add_in_force(step, found, digest)
    end)
  end

  -- What is in force on each, and what each agreed to: all of it, or what names a country; nothing at all while nobody's does.
  function OPERATIONS.look_up(step)
    local whole, events = take(step) == "1", {}
    local looks = whole or names_countries()
    local entries = found_of_each(step, function(found, digest, number)
      add_in_force(step, found, digest)
      if looks then
        events[number] = events[number] or {}
        add_consents(step, events[number], digest, whole)
      end
    end)
    return { entries, events }
  end

  local function last_at(entry)
    return tonumber(entry[AGAIN_AT] ~= "" and entry[AGAIN_AT] or entry[AT])
  end

  -- Up to when what the mailbox said is answered: by the consent, or where none was needed by the lifting.
  local function answered_at(entry)
    return tonumber(entry[CONSENTED_AT] ~= "" and entry[CONSENTED_AT] or entry[LIFTED_AT])
  end

  local function stands_in_the_way(before, entry, now)
    if not before then
      return false
    elseif before[LIFTED_AT] ~= "" then
      return answered_at(before) >= last_at(entry)
    end
    return in_force(before, now) or is_expired(entry, now)
  end

  local function say_again(before, entry)
    local is_later = before[LIFTED_AT] == "" and last_at(before) < last_at(entry)
    if is_later then
      before[AGAIN_AT] = entry[AGAIN_AT] ~= "" and entry[AGAIN_AT] or entry[AT]
    end
    return is_later
  end

  function OPERATIONS.suppress(step)
    local new = 0
    for _ = 1, take_number(step) do
      local digest, entry = take(step), {}
      for field = SCOPE, EXPIRES do
        entry[field] = take(step)
      end
      entry[LIFTED_AT], entry[LIFTED_BY], entry[CONSENTED_AT] = "", "", ""
      local entries = entries_of(step, digest)
      local before = latest(entries, entry[SCOPE], entry[REASON])
      if not stands_in_the_way(before, entry, step.now) then
        if before and before[LIFTED_AT] == "" then
          uncount(step, digest, before)
        end
        entry[NUMBER], entry[IN_FLIGHT] = number_of(step), in_flight(step, digest)
        entries[#entries + 1] = entry
        keep_entries(step, digest, entries)
        count_entry(step, entry, 1)
        if entry[EXPIRES] ~= "" then
          write(step, "ZADD", ends_key(entry), entry[EXPIRES], digest)
        end
        new = new + 1
      elseif say_again(before, entry) then
        keep_entries(step, digest, entries)
      end
    end
    return new
  end

  function OPERATIONS.lift(step)
    local digests, scope, reason = take_list(step), take(step), take(step)
    local needs_consent, lifted_by, consent = take(step) == "1", take(step), take_list(step)
    local found = 0
    for _, digest in ipairs(digests) do
      local entries, changed = entries_of(step, digest), false
      for _, entry in ipairs(entries) do
        if entry[SCOPE] == scope and entry[REASON] == reason and in_force(entry, step.now) then
          if needs_consent and (#consent == 0 or tonumber(consent[CONSENT_AT]) <= last_at(entry)) then
            return nil, "a refusal is lifted only by a consent that is later than the refusal"
          end
          entry[LIFTED_AT] = last_at(entry) > step.now and exact(last_at(entry)) or step.now_text
          entry[LIFTED_BY], entry[CONSENTED_AT] = lifted_by, consent[CONSENT_AT] or ""
          uncount(step, digest, entry)
          found, changed = 1, true
        end
      end
      if changed then
        keep_entries(step, digest, entries)
      end
    end
    if found == 1 and #consent > 0 then
      keep_consent(step, consent)
    end
    return found
  end

  function OPERATIONS.history(step)
    local entries, events = {}, {}
    for _, digest in ipairs(take_list(step)) do
      for _, entry in ipairs(entries_of(step, digest)) do
        entries[#entries + 1] = told(digest, entry)
      end
      for _, event in ipairs(consents_of(step, digest)) do
        events[#events + 1] = event
      end
    end
    return { entries, events }
  end

  function OPERATIONS.export(step)
    return export_step(step, "s", told)
  end

  function OPERATIONS.count(step)
    local answer, all = {}, redis.call("HGETALL", COUNT)
    for i = 1, #all, 2 do
      local reason, scope = string.match(all[i], "^(%Z*)%z(.*)$")
      local expired = redis.call("ZCOUNT", TAG .. "ends:" .. reason .. ":" .. scope, "-inf", step.now_text)
      answer[#answer + 1] = { reason, scope, tonumber(all[i + 1]) - expired }
    end
    return answer
  end
end
