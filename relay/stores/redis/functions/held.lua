-- Copies that are held: kept, claimed, changed, shown.

local COPIES = TAG .. "hc"
local OWNERS = TAG .. "owners"
local UNFINISHED = "600000" -- milliseconds that parts of a hold live before the step that makes them known

local body_key, keep_copy, keep_message, keep_login, has_room, forget_what_is_over, rows_to_hold, copies_to_hold
local put_in_doubt, is_doubtful
local unfold_one_hold -- of the next part

do
  -- Fields of a copy. DUE is "inf" when nothing but a person or a login frees it.
  local LANE, OWNER, WHY, DUE, SEALED, ATTEMPTS, HELD_AT, CLAIM, LEASED_UNTIL = 1, 2, 3, 4, 5, 6, 7, 8, 9

  local REPORT = "report"
  local MEMORY_SHARE = 0.7 -- of maxmemory; the rest is for refusals, limits and the ledger

  function body_key(body)
    return TAG .. "hb:" .. body
  end

  local function why_key(why)
    return TAG .. "hw:" .. why
  end

  local function owner_key(owner, why)
    return TAG .. "ho:" .. why .. ":" .. owner
  end

  local function login_key(owner)
    return TAG .. "login:" .. owner
  end

  local function copy_of(step, id)
    local message, recipient = parts_of(id)
    local packed = hash_get(step, message_key(message), "c" .. recipient)
    return packed and unpack_list(packed), message
  end

  local function next_claim(copy)
    return string.format("%d", tonumber(copy[CLAIM]) + 1)
  end

  local function told_copy(id, copy)
    return { id, unpack(copy, LANE, LEASED_UNTIL) }
  end

  -- Only what comes back by itself lets others of its lane wait behind it.
  local function is_waiting(copy)
    return tonumber(copy[DUE]) < math.huge and copy[WHY] ~= REPORT
  end

  -- When a claim may find it: at the end of its lease, when it is due, or when it expires.
  local function claimable_at(step, copy, expires)
    if tonumber(copy[LEASED_UNTIL]) > step.now then
      return copy[LEASED_UNTIL]
    end
    return tonumber(copy[DUE]) < tonumber(expires) and copy[DUE] or expires
  end

  -- Let the lists follow what becomes of a copy: `before` or `after` is nil where it is not held.
  local function relist(step, id, before, after, expires)
    local is_moved = not before or not after or before[LANE] ~= after[LANE]
    local is_other = not before or not after or before[WHY] ~= after[WHY] or before[OWNER] ~= after[OWNER]
    if before then
      step.lanes[before[LANE]] = true
      count_by(step, WAITING, lane_digest(before[LANE]), is_waiting(before) and -1 or 0)
      count_by(step, OWNERS, before[OWNER], -1)
      if is_moved then
        write(step, "ZREM", lane_key(before[LANE]), id)
      end
      if is_other then
        write(step, "ZREM", why_key(before[WHY]), id)
        write(step, "ZREM", owner_key(before[OWNER], before[WHY]), id)
      end
    end
    if after then
      step.lanes[after[LANE]] = true
      count_by(step, WAITING, lane_digest(after[LANE]), is_waiting(after) and 1 or 0)
      count_by(step, OWNERS, after[OWNER], 1)
      write(step, "ZADD", lane_key(after[LANE]), claimable_at(step, after, expires), id)
      if is_other then
        write(step, "ZADD", why_key(after[WHY]), after[HELD_AT], id)
        write(step, "ZADD", owner_key(after[OWNER], after[WHY]), "0", id)
      end
    end
  end

  function keep_copy(step, id, before, after, expires)
    local message, recipient = parts_of(id)
    hash_set(step, message_key(message), "c" .. recipient, pack(after))
    relist(step, id, before, after, expires)
  end

  local function forget_copy(step, id, copy)
    local message, recipient = parts_of(id)
    hash_set(step, message_key(message), "c" .. recipient, false)
    write(step, "ZREM", COPIES, id)
    count_by(step, message_key(message), "left", -1)
    relist(step, id, copy, nil)
  end

  -- A body is forgotten with its last copy, a login with the last copy of its owner.
  function forget_what_is_over(step)
    local octets = 0
    for key, fields in pairs(step.tallies) do
      if fields.left == 0 then
        local facts = redis.call("HMGET", key, "octets", "body")
        octets = octets + tonumber(facts[1])
        write(step, "UNLINK", body_key(facts[2]), key)
        step.tallies[key] = nil
      end
    end
    count_by(step, HELD, "octets", -octets)
    for owner, copies in pairs(step.tallies[OWNERS] or {}) do
      if copies == 0 then
        write(step, "UNLINK", login_key(owner))
      end
    end
  end

  -- Octets until that share of maxmemory is used; nil where there is no maximum.
  local function memory_left()
    local memory = redis.call("INFO", "memory")
    local used, maximum = string.match(memory, "used_memory:(%d+)"), string.match(memory, "maxmemory:(%d+)")
    return tonumber(maximum or 0) > 0 and math.floor(MEMORY_SHARE * tonumber(maximum)) - tonumber(used) or nil
  end

  function has_room(step, octets, most)
    return counted(step, HELD, "octets") + octets <= most and (memory_left() or 0) >= 0
  end

  -- A piece of a body that nobody knows yet: it goes by itself unless `hold` makes it known.
  function OPERATIONS.keep_piece(step)
    local message, octets, most, body, number, piece =
      take(step), take_number(step), take_number(step), take(step), take(step), take(step)
    if redis.call("EXISTS", message_key(message)) == 1 then
      return "held"
    elseif not has_room(step, octets, most) then
      write(step, "UNLINK", body_key(body))
      return "full"
    end
    write(step, "HSET", body_key(body), number, piece)
    write(step, "PEXPIRE", body_key(body), UNFINISHED)
    return "kept"
  end

  -- The sealed login of an owner and when it must be gone; nil when that time has come.
  local function login_of(step, owner)
    local packed = redis.call("GET", login_key(owner))
    local login = packed and unpack_list(packed)
    return login and tonumber(login[2]) > step.now and login or nil
  end

  -- The login that may stay longest was proved last: it keeps its place.
  function keep_login(step, owner, sealed, ends)
    local known = login_of(step, owner)
    if known and tonumber(known[2]) > tonumber(ends) then
      return
    elseif tonumber(ends) > step.now then
      write(step, "SET", login_key(owner), pack({ sealed, ends }), "PX", milliseconds(tonumber(ends) - step.now))
    else
      write(step, "UNLINK", login_key(owner))
    end
  end

  -- Make the message known with its body, of which `pieces` are there already; else why not.
  function keep_message(step, message, fields, most, body, pieces, piece)
    local octets = tonumber(fields[2])
    if not has_room(step, octets, most) then
      write(step, "UNLINK", body_key(body))
      return "full"
    elseif pieces > 1 and redis.call("HLEN", body_key(body)) ~= pieces then
      return "lost"
    elseif pieces > 1 then
      write(step, "PERSIST", body_key(body))
    else
      write(step, "HSET", body_key(body), "0", piece)
    end
    local names, key = { "head", "octets", "at", "expires" }, message_key(message)
    for i, name in ipairs(names) do
      hash_set(step, key, name, fields[i])
    end
    hash_set(step, key, "body", body)
    hash_set(step, key, "pieces", string.format("%d", pieces))
    count_by(step, HELD, "octets", octets)
  end

  -- Whom another try may have reached, nobody knows: the next turn of the courier says on record that this one may be the
  -- second, so it must not wait for anybody to free it.
  function put_in_doubt(step, copy)
    copy[WHY] = "unknown"
    copy[DUE] = tonumber(copy[DUE]) < math.huge and copy[DUE] or step.now_text
  end

  function is_doubtful(row, message)
    return row and row[2] == "indeterminate" and row[4] ~= message
  end

  -- What becomes of the ledger's rows: recipients that are held from now on, with their replies; those that are delivered,
  -- or held already, which this try has asked about too; why nothing may be held: another try is sending one this moment, or
  -- its client heard meanwhile that one was refused; and whom another try may have reached.
  function rows_to_hold(step, key, message)
    local free, settled, fault, doubtful = {}, {}, nil, {}
    local is_known = is_open(step, key)
    for _ = 1, take_number(step) do
      local recipient, reply = take(step), take(step)
      local row = is_known and row_of(step, key, recipient)
      if not is_known then
        fault = "closed"
      elseif row and (row[2] == "delivered" or row[2] == "held") then
        settled[recipient] = true
        ask_if_later(step, key, recipient, message)
      elseif row and row[6] == "answered" then
        fault = "closed"
      elseif row and row[2] == "leaving" and row[4] ~= message then
        fault = "leaving"
      else
        free[recipient] = reply
        doubtful[recipient] = is_doubtful(row, message)
      end
    end
    if is_known then
      outlast(step, key)
    end
    return free, settled, fault, doubtful
  end

  function copies_to_hold(step, message, settled, doubtful)
    local found = {}
    for _ = 1, take_number(step) do
      local recipient, copy = take(step), {}
      for field = LANE, ATTEMPTS do
        copy[field] = take(step)
      end
      copy[HELD_AT], copy[CLAIM], copy[LEASED_UNTIL] = step.now_text, "0", "0"
      if doubtful[recipient] then
        put_in_doubt(step, copy)
      end
      if not settled[recipient] and not hash_get(step, message_key(message), "c" .. recipient) then
        found[#found + 1] = { recipient, copy }
      end
    end
    return found
  end

  function OPERATIONS.hold(step)
    local key, message, fields, most = ledger_key(step), take(step), take_list(step), take_number(step)
    local body, pieces, piece, login = take(step), take_number(step), take(step), take_list(step)
    local rows, settled, fault, doubtful = rows_to_hold(step, key, message)
    local copies, name = copies_to_hold(step, message, settled, doubtful), message_key(message)
    local known = hash_get(step, name, "body")
    if fault or known and known ~= body then
      write(step, "UNLINK", body_key(body)) -- what this try brought for nothing
    end
    local is_new = #copies > 0 and not known
    fault = fault or is_new and keep_message(step, message, fields, most, body, pieces, piece)
    if fault then
      return fault
    end
    local expires = hash_get(step, name, "expires")
    for _, new in ipairs(copies) do
      keep_copy(step, copy_id(message, new[1]), nil, new[2], expires)
      write(step, "ZADD", COPIES, "0", copy_id(message, new[1]))
      count_by(step, name, "left", 1)
    end
    for recipient, reply in pairs(rows) do
      mark_held(step, key, recipient, reply, message)
    end
    if login[1] and #copies > 0 then
      keep_login(step, unpack(login))
    end
    return "held"
  end

  -- Lease the copy; what an earlier claim says of it is heard no more.
  local function lease(id, copy, leased_until)
    local message, recipient = parts_of(id)
    copy[CLAIM], copy[LEASED_UNTIL] = next_claim(copy), leased_until
    redis.call("HSET", message_key(message), "c" .. recipient, pack(copy))
    redis.call("ZADD", lane_key(copy[LANE]), leased_until, id)
    return told_copy(id, copy)
  end

  -- What is due of one report leaves together, whatever `most` is, at the price of one; if it does not fit beside others, it
  -- waits for the next claim, and so does everybody behind it: the answer is false.
  local function take_turn(step, lane, round, most, leased_until, claimed)
    local credit = tonumber(redis.call("HGET", CREDIT, lane) or 0)
    local due = redis.call("ZRANGEBYSCORE", lane_key(lane), "-inf", step.now_text, "LIMIT", 0, most - #claimed)
    local first = due[1] and copy_of(step, due[1])
    local is_report = first and first[WHY] == REPORT
    if is_report then
      due = redis.call("ZRANGEBYSCORE", lane_key(lane), "-inf", step.now_text)
      if #claimed > 0 and #due > most - #claimed then
        return false
      end
    end
    for i, id in ipairs(due) do
      local copy, message = copy_of(step, id)
      local cost = is_report and i > 1 and 0 or cost_of(redis.call("HGET", message_key(message), "octets"))
      if cost > credit then
        break
      end
      credit = credit - cost
      claimed[#claimed + 1] = lease(id, copy, leased_until)
    end
    place(step, lane, round, credit)
    return true
  end

  local function priorities()
    local found = {}
    for _, field in ipairs(redis.call("HKEYS", HELD)) do
      found[#found + 1] = tonumber(string.match(field, "^round:(%d+)$"))
    end
    table.sort(found)
    return found
  end

  -- Whether those of the priorities behind may be served too.
  local function serve(step, priority, most, leased_until, claimed)
    local field, turns, fits = "round:" .. priority, turns_key(priority), true
    local round = tonumber(redis.call("HGET", HELD, field))
    wake_up(step, priority, round)
    for _ = 1, most + WOKEN_AT_ONCE do -- a turn may serve nobody when its lane was changed meanwhile
      local head = #claimed < most and redis.call("ZRANGE", turns, 0, 0, "WITHSCORES") or {}
      if not head[1] then
        break
      end
      round = tonumber(head[2])
      fits = take_turn(step, head[1], round, most, leased_until, claimed)
      if not fits then
        break
      end
    end
    redis.call("HSET", HELD, field, round)
    return fits and #claimed < most
  end

  -- This operation writes as it goes: a copy that was leased and never told is due again when its lease ends.
  function OPERATIONS.claim(step)
    local most, leased_until, claimed = take_number(step), exact(step.now + take_number(step)), {}
    unfold_one_hold(step)
    end_rests(step)
    for _, priority in ipairs(priorities()) do
      if not serve(step, string.format("%d", priority), most, leased_until, claimed) then
        break
      end
    end
    return claimed
  end

  function OPERATIONS.held_message(step)
    local found = redis.call("HMGET", message_key(take(step)), "head", "octets", "at", "expires", "body", "pieces")
    local wants_body = take(step) == "1"
    if not found[1] then
      return {}
    end
    return { found, wants_body and redis.call("HGET", body_key(found[5]), "0") or "" }
  end

  function OPERATIONS.piece_of(step)
    local body, number = take(step), take(step)
    return redis.call("HGET", body_key(body), number)
  end

  local function update_one(step)
    local id, claim_number, is_kept = take(step), take(step), take(step) == "1"
    local changed = is_kept and take_list(step)
    local copy, message = copy_of(step, id)
    if not copy or copy[CLAIM] ~= claim_number then
      return 0
    end
    if is_kept then
      local after = { unpack(copy) }
      for field = LANE, ATTEMPTS do
        after[field] = changed[field]
      end
      after[CLAIM], after[LEASED_UNTIL] = next_claim(copy), "0"
      keep_copy(step, id, copy, after, hash_get(step, message_key(message), "expires"))
    else
      forget_copy(step, id, copy)
    end
    return 1
  end

  function OPERATIONS.update_held(step)
    for _ = 1, take_number(step) do
      local lane, rests_until = take(step), take(step)
      write(step, "ZADD", RESTING, rests_until, lane)
      step.lanes[lane] = true
    end
    local heard = 0
    for _ = 1, take_number(step) do
      heard = heard + update_one(step)
    end
    forget_what_is_over(step)
    return heard
  end

  function OPERATIONS.held_copies(step)
    local first, last, most = take(step), take(step), take(step)
    local answer = {}
    for _, id in ipairs(redis.call("ZRANGEBYLEX", COPIES, first, last, "LIMIT", 0, most)) do
      answer[#answer + 1] = told_copy(id, (copy_of(step, id)))
    end
    return answer
  end

  -- Look at some copies and free those that are not due; answer the last of them, "" when there are no more, and how many.
  function OPERATIONS.free_owner(step)
    local owner, why, first, most = take(step), take(step), take(step), take(step)
    local ids = redis.call("ZRANGEBYLEX", owner_key(owner, why), first, "+", "LIMIT", 0, most)
    local freed = 0
    for _, id in ipairs(ids) do
      local copy, message = copy_of(step, id)
      if tonumber(copy[DUE]) > step.now then
        local after = { unpack(copy) }
        after[DUE] = step.now_text
        write(step, "ZREM", RESTING, copy[LANE])
        keep_copy(step, id, copy, after, hash_get(step, message_key(message), "expires"))
        freed = freed + 1
      end
    end
    return { ids[#ids] or "", freed }
  end

  function OPERATIONS.wake_lane(step)
    local lane = take(step)
    write(step, "ZREM", RESTING, lane)
    step.lanes[lane] = true
    return 1
  end

  -- Per reason how many copies, and since when the oldest; then the octets of bodies, and for how many more there is memory.
  function OPERATIONS.held_totals(step)
    local answer = {}
    for i, why in ipairs(take_list(step)) do
      local oldest = redis.call("ZRANGE", why_key(why), 0, 0, "WITHSCORES")
      answer[i] = { redis.call("ZCARD", why_key(why)), oldest[2] or "" }
    end
    local left = memory_left()
    return { answer, counted(step, HELD, "octets"), left and string.format("%d", left) or "" }
  end

  function OPERATIONS.keep_credentials(step)
    local owner, sealed, ends = take(step), take(step), take(step)
    if counted(step, OWNERS, owner) == 0 then
      return 0
    end
    keep_login(step, owner, sealed, ends)
    return 1
  end

  function OPERATIONS.credentials_of(step)
    local login = login_of(step, take(step))
    return login and login[1] or false
  end

  function OPERATIONS.drop_credentials(step)
    local owner, sealed = take(step), take(step)
    local login = login_of(step, owner)
    if login and login[1] == sealed then
      write(step, "UNLINK", login_key(owner))
    end
    return 1
  end
end
