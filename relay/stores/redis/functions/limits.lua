-- Limits: sliding windows of 60 buckets, calendar days, and reservations with a lease.

local take_charges, reserve_all, conclude, keep_windows

do
  local BUCKETS = 60 -- of a sliding window
  local SLACK = 3600 -- seconds that windows and reservations outlive their use, for late answers
  local FOLDED_AT_ONCE = 256 -- lapsed reservations that one look at a window turns into spent units

  function take_charges(step)
    local charges = {}
    for i = 1, take_number(step) do
      local key, count, length, day = take(step), take_number(step), take(step), take(step)
      charges[i] = {
        name = key .. ":" .. (day ~= "" and day or length), count = count, length = tonumber(length),
        day = day, day_ends = take_number(step), units = take_number(step),
      }
    end
    return charges
  end

  local function bucket_at(window, at)
    return window.day == "" and math.floor(at * BUCKETS / window.length) or 0
  end

  local function spend(window, at, units)
    local index = bucket_at(window, at)
    window.spent[index] = (window.spent[index] or 0) + units
    window.is_dirty = true
  end

  local function unspend(window, at, units)
    local index = bucket_at(window, at)
    local left = (window.spent[index] or 0) - units
    window.spent[index] = left > 0 and left or nil
    window.is_dirty = true
  end

  -- Reservations whose lease ran out count as spent when they were reserved.
  local function fold(step, window)
    local lapsed = redis.call("ZRANGEBYSCORE", window.holds, "-inf", step.now_text, "LIMIT", 0, FOLDED_AT_ONCE)
    for _, member in ipairs(lapsed) do
      local units, at = string.match(member, "^(%d+):([%d.]+):")
      window.held = math.max(0, window.held - tonumber(units))
      spend(window, tonumber(at), tonumber(units))
      window.folded[member] = true
      write(step, "ZREM", window.holds, member)
    end
    local next_one = redis.call("ZRANGE", window.holds, #lapsed, #lapsed, "WITHSCORES")
    window.soonest = tonumber(next_one[2]) or 0
    if not next_one[2] then
      window.held = 0
    end
    window.is_dirty = true
  end

  local function window_of(step, charge)
    local name = charge.name
    local window = step.windows[name]
    if window then
      return window
    end
    window = {
      key = TAG .. "w:" .. name, holds = TAG .. "h:" .. name, length = charge.length, day = charge.day,
      day_ends = charge.day_ends, held = 0, soonest = 0, latest = 0, spent = {}, folded = {}, is_dirty = false,
    }
    local packed = redis.call("GET", window.key)
    if packed then
      local list = unpack_list(packed)
      window.held, window.soonest, window.latest = list[1], list[2], list[3]
      for i = 4, #list, 2 do
        window.spent[list[i]] = list[i + 1]
      end
    end
    if window.held > 0 and step.now >= window.soonest then
      fold(step, window)
    end
    step.windows[name] = window
    return window
  end

  -- The window may begin anywhere in its oldest bucket, so that one counts in full: 60 whole ones and the current.
  local function total_spent(window, now)
    local oldest, total = bucket_at(window, now) - BUCKETS, 0
    for index, units in pairs(window.spent) do
      if window.day == "" and index < oldest then
        window.spent[index] = nil
      else
        total = total + units
      end
    end
    return total
  end

  local function wait_for(window, charge, too_many, now)
    if window.day ~= "" then
      return math.max(1, math.ceil(window.day_ends - now))
    end
    local indices = {}
    for index in pairs(window.spent) do
      indices[#indices + 1] = index
    end
    table.sort(indices)
    for _, index in ipairs(indices) do
      too_many = too_many - window.spent[index]
      if too_many <= 0 then
        local wait = math.max(1, math.ceil((index + BUCKETS + 1) * window.length / BUCKETS - now))
        return bucket_at(window, now + wait) > index + BUCKETS and wait or wait + 1 -- rounding may fall short by a hair
      end
    end
    return math.max(1, math.ceil(charge.length))
  end

  -- The number of the first limit in the way, the longest wait, and whether only others' reservations stand there.
  local function limit_met(step, charges)
    local wanted, met = {}, nil
    for number, charge in ipairs(charges) do
      local window = window_of(step, charge)
      local spent = total_spent(window, step.now)
      wanted[window] = (wanted[window] or 0) + charge.units
      local too_many = spent + wanted[window] - charge.count
      if too_many + window.held > 0 then
        met = met or { number - 1, 1, 1 }
      end
      if too_many > 0 then
        met[2] = math.max(met[2], wait_for(window, charge, too_many, step.now))
        met[3] = 0
      end
    end
    return met
  end

  function reserve_all(step, charges, id, lease)
    local met = limit_met(step, charges)
    if met then
      return met
    end
    local ends = step.now + lease
    local ends_text = exact(ends)
    local record = { step.now_text, ends_text }
    for number, charge in ipairs(charges) do
      local window = window_of(step, charge)
      local member = charge.units .. ":" .. step.now_text .. ":" .. id .. ":" .. number
      window.soonest = window.held > 0 and math.min(window.soonest, ends) or ends
      window.held = window.held + charge.units
      window.latest = math.max(window.latest, ends)
      window.is_dirty = true
      write(step, "ZADD", window.holds, ends_text, member)
      record[#record + 1] = { charge.name, charge.length, charge.day, charge.day_ends, charge.units, member }
    end
    write(step, "SET", TAG .. "v:" .. id, pack(record), "PX", milliseconds(lease + SLACK))
  end

  -- Count a reservation at this moment, or give it back; one that nobody remembers is counted already.
  function conclude(step, id, is_used)
    local key = TAG .. "v:" .. id
    local packed = redis.call("GET", key)
    if not packed or step.seen[key] then
      return
    end
    step.seen[key] = true
    local record = unpack_list(packed)
    for i = 3, #record do
      local charge = { name = record[i][1], length = record[i][2], day = record[i][3], day_ends = record[i][4] }
      local units, member, window = record[i][5], record[i][6], window_of(step, charge)
      if not window.folded[member] and redis.call("ZSCORE", window.holds, member) then
        window.held = math.max(0, window.held - units)
        write(step, "ZREM", window.holds, member)
      else
        unspend(window, tonumber(record[1]), units)
      end
      if is_used then
        spend(window, step.now, units)
      end
      window.is_dirty = true
    end
    write(step, "DEL", key)
  end

  function keep_windows(step)
    for _, window in pairs(step.windows) do
      if window.is_dirty then
        local list = { window.held, window.soonest, window.latest }
        total_spent(window, step.now)
        for index, units in pairs(window.spent) do
          list[#list + 1] = index
          list[#list + 1] = units
        end
        local life = window.day == "" and 2 * window.length or 86400 + window.day_ends - step.now
        life = math.max(0, life, window.latest - step.now) + SLACK
        write(step, "SET", window.key, pack(list), "PX", milliseconds(life))
        write(step, "PEXPIRE", window.holds, milliseconds(life))
      end
    end
  end

  function OPERATIONS.reserve(step)
    local id, lease = take(step), take_number(step)
    return reserve_all(step, take_charges(step), id, lease) or {}
  end

  function OPERATIONS.used(step)
    local answer = {}
    for number, charge in ipairs(take_charges(step)) do
      local window = window_of(step, charge)
      answer[number] = total_spent(window, step.now) + window.held
    end
    return answer
  end

  function OPERATIONS.settle(step)
    conclude(step, take(step), true)
    return 1
  end

  function OPERATIONS.refund(step)
    conclude(step, take(step), false)
    return 1
  end
end
