-- The commit sequence, and which copies are on their way to whom.

local number_of, keep_number, note_leaving, note_left, in_flight

do
  local SEQUENCE = TAG .. "sequence"
  local DIGEST_OCTETS = 16
  local KEPT_SECONDS = 3600 -- beyond the lease of a copy that nobody answered for

  local function leaving_key(digest)
    return TAG .. "d:" .. digest
  end

  -- What one operation lets leave, or brings in force, shares its number.
  function number_of(step)
    if not step.number then
      step.number = (tonumber(redis.call("GET", SEQUENCE)) or 0) + 1
    end
    return step.number
  end

  function keep_number(step)
    if step.number then
      write(step, "SET", SEQUENCE, string.format("%.0f", step.number))
    end
  end

  -- The digests stand one behind the other in the row that ends this (`note_left`).
  function note_leaving(step, digests, submission, lease)
    for _, digest in ipairs(digests) do
      local key = leaving_key(digest)
      write(step, "ZADD", key, exact(step.now + lease), submission)
      write(step, "PEXPIRE", key, milliseconds(lease + KEPT_SECONDS))
    end
  end

  function note_left(step, digests, submission)
    for first = 1, #(digests or ""), DIGEST_OCTETS do
      write(step, "ZREM", leaving_key(string.sub(digests, first, first + DIGEST_OCTETS - 1)), submission)
    end
  end

  function in_flight(step, digest)
    local names = redis.call("ZRANGEBYSCORE", leaving_key(digest), "(" .. step.now_text, "+inf")
    table.sort(names)
    return table.concat(names, " ")
  end
end
