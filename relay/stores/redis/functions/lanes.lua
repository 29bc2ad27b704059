-- Lanes: when each held copy is due, and whose turn it is.
--
-- A lane with something due has a turn, any other sleeps until the first of its copies is due and it need not rest.
-- Turns are deficit round robin: each round credits a lane with QUANTUM, and it sends what it can pay.  Rounds in which
-- a lane could pay nothing are not gone through: it gets the turn, and the credit, of the round in which it can.
-- So every turn serves somebody, and what it costs does not grow with what waits.

local WOKEN_AT_ONCE = 100 -- lanes that one step wakes, or lets rest no longer
local HELD = TAG .. "held"
local CREDIT = TAG .. "credit"
local RESTING = TAG .. "resting"
local WAITING = TAG .. "waiting"

local lane_key, message_key, lane_digest, turns_key, copy_id, parts_of, cost_of, place, wake_up, end_rests, schedule_lanes
local counted, count_by, keep_tallies, waiting_among

do
  local QUANTUM = 262144 -- octets of bodies that a lane sends in its turn

  function lane_key(lane)
    return TAG .. "lane:" .. lane
  end

  function message_key(message)
    return TAG .. "hm:" .. message
  end

  local function priority_of(lane)
    return string.match(lane, "^%d+")
  end

  function lane_digest(lane)
    return string.match(lane, "^%d+:(.*)$")
  end

  function turns_key(priority)
    return TAG .. "turns:" .. priority
  end

  local function asleep_key(priority)
    return TAG .. "asleep:" .. priority
  end

  -- A copy is named by its message and its recipient.
  function copy_id(message, recipient)
    return message .. "\0" .. recipient
  end

  function parts_of(id)
    return string.match(id, "^(%Z*)%z(.*)$")
  end

  function cost_of(octets)
    return math.max(1, tonumber(octets) or 0)
  end

  -- Give the lane the first turn from this round on in which it can pay, or let it sleep until it has something due.
  function place(step, lane, round, credit)
    local priority = priority_of(lane)
    local first = redis.call("ZRANGE", lane_key(lane), 0, 0, "WITHSCORES")
    if first[2] and tonumber(first[2]) <= step.now then
      local cost = cost_of(redis.call("HGET", message_key(parts_of(first[1])), "octets"))
      local rounds = math.max(0, math.ceil((cost - credit) / QUANTUM))
      redis.call("ZADD", turns_key(priority), round + rounds, lane)
      redis.call("HSET", CREDIT, lane, credit + rounds * QUANTUM)
      return
    end
    redis.call("ZREM", turns_key(priority), lane)
    redis.call("HDEL", CREDIT, lane)
    if first[2] then
      redis.call("ZADD", asleep_key(priority), first[2], lane)
    end
  end

  -- Lanes that have something due now join the turns behind this round.
  function wake_up(step, priority, round)
    local key = asleep_key(priority)
    for _, lane in ipairs(redis.call("ZRANGEBYSCORE", key, "-inf", step.now_text, "LIMIT", 0, WOKEN_AT_ONCE)) do
      redis.call("ZREM", key, lane)
      place(step, lane, round, 0)
    end
  end

  function end_rests(step)
    local over = redis.call("ZRANGEBYSCORE", RESTING, "-inf", step.now_text, "LIMIT", 0, WOKEN_AT_ONCE)
    if #over > 0 then
      redis.call("ZREM", RESTING, unpack(over))
    end
  end

  -- Let the schedule follow what was written to a lane: asleep, at its turn, or in neither place when it is empty.
  local function schedule(step, lane)
    local priority = priority_of(lane)
    local first = redis.call("ZRANGE", lane_key(lane), 0, 0, "WITHSCORES")
    local rests_until = redis.call("ZSCORE", RESTING, lane)
    local next_at = first[2] and math.max(tonumber(first[2]), tonumber(rests_until or 0))
    if redis.call("ZSCORE", turns_key(priority), lane) then
      if next_at and next_at <= step.now then
        return
      end
      redis.call("ZREM", turns_key(priority), lane)
      redis.call("HDEL", CREDIT, lane)
    end
    if next_at then
      redis.call("ZADD", asleep_key(priority), next_at, lane)
      redis.call("HSETNX", HELD, "round:" .. priority, 0)
    else
      redis.call("ZREM", asleep_key(priority), lane)
    end
  end

  function schedule_lanes(step)
    for lane in pairs(step.lanes) do
      schedule(step, lane)
    end
  end

  -- Numbers in hashes that a step counts up and down; what comes to nothing leaves its hash.

  function counted(step, key, field)
    local tally = step.tallies[key]
    return tally and tally[field] or tonumber(redis.call("HGET", key, field) or 0)
  end

  function count_by(step, key, field, by)
    local sum = counted(step, key, field) + by
    step.tallies[key] = step.tallies[key] or {}
    step.tallies[key][field] = sum
  end

  function keep_tallies(step)
    for key, fields in pairs(step.tallies) do
      for field, sum in pairs(fields) do
        if sum > 0 then
          write(step, "HSET", key, field, string.format("%.0f", sum))
        else
          write(step, "HDEL", key, field)
        end
      end
    end
  end

  function waiting_among(step, digests)
    local found = {}
    for _, digest in ipairs(digests) do
      if counted(step, WAITING, digest) > 0 then
        found[#found + 1] = digest
      end
    end
    return found
  end
end
