-- Adaptations: what is done for a time because of what an upstream replied.

do
  -- Fields of a packed one: what the relay wrote, when it ends ("inf": a person ends it), how strong it is.
  local WRITTEN, ENDS, WEIGHT = 1, 2, 3

  local ADAPTED = TAG .. "adapted"

  local function has_ended(step, packed)
    local ends = unpack_list(packed)[ENDS]
    return ends ~= "inf" and tonumber(ends) <= step.now
  end

  local function adapted(step, key)
    local packed = hash_get(step, ADAPTED, key)
    if packed and not has_ended(step, packed) then
      return unpack_list(packed)
    end
  end

  function OPERATIONS.adaptations(step)
    local answer, all = {}, redis.call("HVALS", ADAPTED)
    for _, packed in ipairs(all) do
      if not has_ended(step, packed) then
        answer[#answer + 1] = unpack_list(packed)[WRITTEN]
      end
    end
    return answer
  end

  function OPERATIONS.adapt(step)
    local key, written, ends, weight = take(step), take(step), take(step), take(step)
    local least, most = take_number(step), take_number(step)
    local before = adapted(step, key)
    if before and tonumber(weight) < tonumber(before[WEIGHT]) + least then
      return 0
    end
    local others = redis.call("HLEN", ADAPTED) - redis.call("HEXISTS", ADAPTED, key)
    if others >= most then
      return 0
    end
    hash_set(step, ADAPTED, key, pack({ written, ends, weight }))
    return 1
  end

  function OPERATIONS.end_adaptation(step)
    local key = take(step)
    local ended = adapted(step, key)
    if not ended then
      return {}
    end
    hash_set(step, ADAPTED, key, false)
    return { ended[WRITTEN] }
  end

  function OPERATIONS.take_ended(step)
    local answer, all = {}, redis.call("HGETALL", ADAPTED)
    for i = 1, #all, 2 do
      if has_ended(step, all[i + 1]) then
        hash_set(step, ADAPTED, all[i], false)
        answer[#answer + 1] = unpack_list(all[i + 1])[WRITTEN]
      end
    end
    return answer
  end
end
