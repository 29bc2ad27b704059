-- Ledger: unfinished submissions and the rows of their recipients.

local ledger_key, is_open, standing_row, mark_held

do
  -- Fields of a row. While it is leaving: DIGESTS is how suppressions know the recipient, COPY_OF the submission.
  local STATE, REPLY, SUBMISSION, LEASE_UNTIL, ASKED_BY, DIGESTS, COPY_OF = 1, 2, 3, 4, 5, 6, 7

  function ledger_key(step)
    return TAG .. "l:" .. take(step)
  end

  function is_open(step, key)
    local ends = hash_get(step, key, "ends")
    return ends and tonumber(ends) > step.now
  end

  local function prolong(step, key, ttl)
    hash_set(step, key, "ends", exact(step.now + ttl))
    write(step, "PEXPIRE", key, milliseconds(ttl))
  end

  local function told_row(recipient, row, now)
    local state = row[STATE]
    if state == "leaving" and tonumber(row[LEASE_UNTIL]) <= now then
      state = "indeterminate"
    end
    return { recipient, state, row[REPLY], row[SUBMISSION], row[LEASE_UNTIL] }
  end

  local function rows_of(step, key)
    local rows, all = {}, redis.call("HGETALL", key)
    for i = 1, #all, 2 do
      if string.sub(all[i], 1, 1) == "r" then
        rows[#rows + 1] = told_row(string.sub(all[i], 2), unpack_list(all[i + 1]), step.now)
      end
    end
    return rows
  end

  -- From now on the client of this try is the one who must hear the outcome.
  local function ask(step, key, recipient, submission)
    local packed = hash_get(step, key, "r" .. recipient)
    local row = packed and unpack_list(packed)
    if row and row[ASKED_BY] ~= submission then
      row[ASKED_BY] = submission
      hash_set(step, key, "r" .. recipient, pack(row))
    end
  end

  function OPERATIONS.open(step)
    local key, first, ttl, recipients = ledger_key(step), take_list(step), take_number(step), take_list(step)
    local pause, waiting = pause_of(step, take(step)), waiting_among(step, take_list(step))
    local known = is_open(step, key)
    local kept = known and redis.call("HGET", key, "first")
    if not known then
      write(step, "DEL", key)
    end
    if not kept then
      write(step, "HSET", key, "first", pack(first))
    end
    for _, recipient in ipairs(known and recipients or {}) do
      ask(step, key, recipient, first[1])
    end
    prolong(step, key, ttl)
    return { kept and unpack_list(kept) or first, known and rows_of(step, key) or {}, pause, waiting }
  end

  function OPERATIONS.rows(step)
    local key = ledger_key(step)
    return is_open(step, key) and rows_of(step, key) or {}
  end

  local function binding(step, digests, scopes, reasons)
    local bound = {}
    for _, digest in ipairs(digests) do
      for _, entry in ipairs(entries_of(step, digest)) do
        if scopes[entry[SCOPE]] and reasons[entry[REASON]] and in_force(entry, step.now) then
          bound[#bound + 1] = told(digest, entry)
        end
      end
    end
    return bound
  end

  function standing_row(step, key, recipient)
    local packed = hash_get(step, key, "r" .. recipient)
    local row = packed and told_row(recipient, unpack_list(packed), step.now)
    return row and row[2] ~= "indeterminate" and row
  end

  local function clear_one(step, key, submission, lease, id)
    local recipient, digests = take(step), take_list(step)
    local scopes, reasons, charges, stream = take_set(step), take_set(step), take_charges(step), take(step)
    local named, grounds = take(step), take_list(step)
    local copy_of = named ~= "" and named or submission
    local bound = binding(step, digests, scopes, reasons)
    if #bound > 0 then
      return { "refused", bound }
    end
    local ended = withdrawn_ground(step, digests, grounds)
    if ended then
      return { "withdrawn", ended }
    end
    local taken = standing_row(step, key, recipient)
    if taken then
      ask(step, key, recipient, submission)
      return { "taken", taken }
    end
    local pause = pause_of(step, stream)
    if #pause > 0 then
      return { "paused", pause }
    end
    local met = #charges > 0 and reserve_all(step, charges, id, lease)
    if met then
      return { "over", met }
    end
    local until_text = exact(step.now + lease)
    local row = { "leaving", "", submission, until_text, submission, table.concat(digests), copy_of }
    hash_set(step, key, "r" .. recipient, pack(row))
    note_leaving(step, digests, copy_of, lease)
    return { "cleared", #charges > 0 and id or "", number_of(step) }
  end

  function OPERATIONS.clear(step)
    local key, submission, lease, ttl, id = ledger_key(step), take(step), take_number(step), take_number(step), take(step)
    if not is_open(step, key) then -- it expired meanwhile
      redis.call("UNLINK", key) -- with what is left of it, so that its rows are not read
      prolong(step, key, ttl)
    end
    local answer = {}
    for i = 1, take_number(step) do
      answer[i] = clear_one(step, key, submission, lease, id .. "." .. i)
    end
    return answer
  end

  -- DELIVERED is the last word; any other outcome leaves a row alone that another try has claimed meanwhile.
  local function may_change(before, state, submission)
    if not before or state == "delivered" then
      return true
    end
    return before[STATE] ~= "delivered" and (submission == "" or before[SUBMISSION] == submission)
  end

  local function forget_leaving(step, row)
    if row and row[STATE] == "leaving" then
      note_left(step, row[DIGESTS], row[COPY_OF])
    end
  end

  -- A row that becomes delivered, or refused for want of a mailbox, counts once for its stream.
  local function count_row(step, before, state, stream, no_mailbox)
    if stream == "" or (before and before[STATE] == state) then
      return
    end
    if state == "delivered" or (state == "refused" and no_mailbox == "1") then
      count_sent(step, stream, state)
    end
  end

  -- The row of a recipient that is held from now on; the client of the try that asked last must hear of it.
  function mark_held(step, key, recipient, reply, submission)
    local packed = hash_get(step, key, "r" .. recipient)
    local before = packed and unpack_list(packed)
    forget_leaving(step, before)
    hash_set(step, key, "r" .. recipient, pack({ "held", reply, submission, "0", before and before[ASKED_BY] or submission }))
  end

  function OPERATIONS.finish(step)
    local key = ledger_key(step)
    local has_rows = is_open(step, key)
    for _ = 1, take_number(step) do
      local recipient, state, reply, reservation, submission, stream, no_mailbox =
        unpack(step.arguments, step.position, step.position + 6)
      step.position = step.position + 7
      if reservation ~= "" and state ~= "indeterminate" then -- what nobody knows stays charged until its lease ends
        conclude(step, reservation, state == "delivered")
      end
      local packed = has_rows and hash_get(step, key, "r" .. recipient)
      local before = packed and unpack_list(packed)
      if has_rows and may_change(before, state, submission) then
        count_row(step, before, state, stream, no_mailbox)
        forget_leaving(step, before)
        local by = submission ~= "" and submission or before and before[SUBMISSION] or ""
        hash_set(step, key, "r" .. recipient, state ~= "" and pack({ state, reply, by, "0", before and before[ASKED_BY] or by }))
      end
    end
    return 1
  end

  function OPERATIONS.close(step)
    local key, submission = ledger_key(step), take(step)
    local is_left, all = false, redis.call("HGETALL", key)
    for i = 1, #all, 2 do
      if string.sub(all[i], 1, 1) == "r" then
        local row = unpack_list(all[i + 1])
        if row[ASKED_BY] == submission then
          forget_leaving(step, row)
          hash_set(step, key, all[i], false)
        else
          is_left = true
        end
      end
    end
    if not is_left then
      write(step, "UNLINK", key)
    end
    return 1
  end
end
