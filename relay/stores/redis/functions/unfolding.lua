-- Holds of many copies: more than one step may write, and yet all of them are kept, or none.
--
-- First the copies are brought, some at a time, to a list that nobody looks at and that Redis forgets by itself: whoever
-- dies now has held nothing.  One short step then makes the message known and its list lasting: from there on all of it is
-- held.  Last the copies take their places in the ledger and in their lanes, some at a time, by whoever comes first: the one
-- who holds them, or, should he have died, any claim.
--
-- A copy that is not unfolded yet counts as one of its message, and as one of the owner whose login came with it, so that
-- neither is forgotten.  Before it takes its place the ledger is asked again: what another try of the same submission has
-- taken up meanwhile is that one's.

local write_down

do
  local FOLDED = TAG .. "folded"
  local AT_ONCE = 100

  local function list_key(body)
    return TAG .. "hs:" .. body
  end

  -- How many of this hold somebody else took up, whoever unfolded them; for the one who holds, as long as he may still ask.
  local function alone_key(body)
    return list_key(body) .. ":alone"
  end

  -- Bring some; why nothing may be held, or else how many there are now.
  function OPERATIONS.fold(step)
    local key, message, octets, most, body =
      ledger_key(step), take(step), take_number(step), take_number(step), take(step)
    local rows, settled, fault, doubtful = rows_to_hold(step, key, message)
    local copies, list = copies_to_hold(step, message, settled, doubtful), list_key(body)
    if not fault and not redis.call("HGET", message_key(message), "body") and not has_room(step, octets, most) then
      fault = "full"
    end
    if fault then
      write(step, "UNLINK", list)
      write(step, "UNLINK", body_key(body))
      return fault
    end
    local folded = {}
    for i, copy in ipairs(copies) do
      folded[i] = pack({ copy[1], copy[2], rows[copy[1]] or false })
      rows[copy[1]] = nil
    end
    for recipient, reply in pairs(rows) do
      folded[#folded + 1] = pack({ recipient, false, reply })
    end
    if #folded > 0 then
      write(step, "RPUSH", list, unpack(folded))
      write(step, "PEXPIRE", list, UNFINISHED)
    end
    return redis.call("LLEN", list) + #folded
  end

  -- Make what was brought known, all of it. `brought` is how much that must be.
  function OPERATIONS.hold_folded(step)
    local key, message, fields, most = ledger_key(step), take(step), take_list(step), take_number(step)
    local body, pieces, piece, login, brought = take(step), take_number(step), take(step), take_list(step), take_number(step)
    local name, list = message_key(message), list_key(body)
    local known = hash_get(step, name, "body")
    if known or brought == 0 then
      write(step, "UNLINK", body_key(body)) -- what this try brought for nothing
    end
    if brought == 0 then
      return "held"
    end
    local fault = redis.call("LLEN", list) ~= brought and "lost"
    fault = fault or not known and keep_message(step, message, fields, most, body, pieces, piece)
    if fault then
      write(step, "UNLINK", list)
      return fault
    end
    write(step, "PERSIST", list)
    write(step, "RPUSH", FOLDED, pack({ key, message, body, login[1] or false }))
    count_by(step, name, "left", brought)
    if login[1] then
      keep_login(step, unpack(login))
      count_by(step, OWNERS, login[1], 1)
    end
    return "held"
  end

  -- Whether a copy may take its place, whether it needs none, and whether another try may have reached its recipient; what
  -- another try is sending, or was answered for with a refusal, may not.
  local function may_unfold(step, key, message, recipient, reply)
    local row = reply and row_of(step, key, recipient)
    local is_settled = row and (row[2] == "delivered" or row[2] == "held") or false
    local is_others = row and not is_settled and (row[6] == "answered" or row[2] == "leaving" and row[4] ~= message)
    if reply and not is_open(step, key) or is_others then
      return false
    end
    return true, is_settled, is_doubtful(row, message)
  end

  -- Unfold some copies of this hold; how many are left of it, and how many of these were somebody else's.
  local function unfold(step, packed)
    local key, message, body, owner = unpack(unpack_list(packed))
    local list, name, left_alone = list_key(body), message_key(message), 0
    local some = redis.call("LRANGE", list, 0, AT_ONCE - 1)
    local expires = hash_get(step, name, "expires")
    for _, folded in ipairs(some) do
      local recipient, copy, reply = unpack(unpack_list(folded))
      local is_free, is_settled, in_doubt = may_unfold(step, key, message, recipient, reply)
      if in_doubt and copy then
        put_in_doubt(step, copy)
      end
      left_alone = left_alone + (is_free and 0 or 1)
      if is_free and not is_settled and copy and not hash_get(step, name, "c" .. recipient) then
        keep_copy(step, copy_id(message, recipient), nil, copy, expires)
        write(step, "ZADD", COPIES, "0", copy_id(message, recipient))
      else
        count_by(step, name, "left", -1)
      end
      if is_free and reply and is_settled then
        ask_if_later(step, key, recipient, message)
      elseif is_free and reply then
        mark_held(step, key, recipient, reply, message)
      end
    end
    if left_alone > 0 then
      write(step, "INCRBY", alone_key(body), string.format("%d", left_alone))
      write(step, "PEXPIRE", alone_key(body), UNFINISHED)
    end
    if is_open(step, key) then
      outlast(step, key)
    end
    write(step, "LTRIM", list, #some, -1)
    local left = redis.call("LLEN", list) - #some
    if left == 0 then
      write(step, "LREM", FOLDED, 1, packed)
      if owner then
        count_by(step, OWNERS, owner, -1)
      end
    end
    forget_what_is_over(step)
    return left, left_alone
  end

  -- Whoever holds them goes on until nothing is left: how much is, and how many somebody else took up so far. The answer to
  -- the same question may get lost, and others may unfold in between.
  function OPERATIONS.unfold(step)
    local key, message, body, login = ledger_key(step), take(step), take(step), take_list(step)
    local packed = pack({ key, message, body, login[1] or false })
    local left, left_alone = 0, 0
    if redis.call("LPOS", FOLDED, packed) then
      left, left_alone = unfold(step, packed)
    end
    return { left, left_alone + tonumber(redis.call("GET", alone_key(body)) or 0) }
  end

  function write_down(step)
    keep_tallies(step)
    for _, words in ipairs(step.writes) do
      redis.call(unpack(words))
    end
    schedule_lanes(step)
  end

  -- Unfold some copies at once, for a step that wants to see them.
  function unfold_one_hold(step)
    local packed = redis.call("LINDEX", FOLDED, 0)
    if packed then
      local before = new_step(step.arguments, step.position, step.now)
      unfold(before, packed)
      write_down(before)
    end
  end

  -- For a look at what is held: how many holds have copies without a place yet.
  function OPERATIONS.unfold_some(step)
    unfold_one_hold(step)
    return redis.call("LLEN", FOLDED)
  end
end
