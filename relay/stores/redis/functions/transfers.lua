-- Transfers: whose data left the country in a year, and how many they are.

local transfer_met, count_transfer

do
  local CATEGORIES = { "ordinary", "sensitive" }
  local COUNTED = TAG .. "transferred"
  local KEPT_SECONDS = 2592000 -- after the end of the year

  -- Small hashes, which Redis keeps packed: the first sixteen bits of a digest name the one that has the rest of it.
  local function place_of(year, category, person)
    local first, second = string.byte(person, 1, 2)
    return string.format("%st:%s:%s:%02x%02x", TAG, year, category, first or 0, second or 0), string.sub(person, 3)
  end

  local function persons_of(step, year, category)
    return tonumber(hash_get(step, COUNTED, year .. " " .. category) or 0)
  end

  local function is_counted(step, year, category, person)
    return hash_get(step, place_of(year, category, person)) and true or false
  end

  -- A crossing: year, category, most ("": as many as come), when the year ends; nothing where nobody counts.
  -- The number that were counted, where this person may not be counted too.
  function transfer_met(step, crossing, person)
    local year, category, most = crossing[1], crossing[2], crossing[3]
    if not year or most == "" then
      return nil
    end
    local persons = persons_of(step, year, category)
    if persons >= tonumber(most) and not is_counted(step, year, category, person) then
      return persons
    end
  end

  -- The number that this person is, 0 when they were counted already or nobody counts.
  function count_transfer(step, crossing, person)
    local year, category = crossing[1], crossing[2]
    if not year or is_counted(step, year, category, person) then
      return 0
    end
    local persons = persons_of(step, year, category) + 1
    local key, rest = place_of(year, category, person)
    hash_set(step, key, rest, "")
    write(step, "PEXPIRE", key, milliseconds(math.max(1, tonumber(crossing[4]) - step.now + KEPT_SECONDS)))
    hash_set(step, COUNTED, year .. " " .. category, string.format("%d", persons))
    return persons
  end

  function OPERATIONS.transferred(step)
    local year, flags = take(step), {}
    for i, person in ipairs(take_list(step)) do
      flags[i] = 0
      for number, category in ipairs(CATEGORIES) do
        flags[i] = flags[i] + (is_counted(step, year, category, person) and number or 0)
      end
    end
    return { persons_of(step, year, "ordinary"), persons_of(step, year, "sensitive"), flags }
  end

  function OPERATIONS.transfer_years(step)
    return redis.call("HGETALL", COUNTED)
  end
end
