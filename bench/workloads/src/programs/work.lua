-- The script of the workload `lua`: tables as records and arrays, strings built piece by piece, closures, objects with
-- metatables. Nothing depends on the order of `pairs`, which Lua seeds anew each time.
local state = 42
local function below(bound)
  state = (state * 6364136223846793005 + 1442695040888963407) & 0x7fffffffffffffff
  return (state >> 20) % bound
end

local Account = {}
Account.__index = Account
function Account.new(number)
  local history = {}
  for i = 1, below(8) do
    history[i] = { amount = below(1000), text = "payment-" .. below(5000) }
  end
  return setmetatable({ number = number, name = "account-" .. number, history = history }, Account)
end
function Account:total()
  local sum = 0
  for _, entry in ipairs(self.history) do
    sum = sum + entry.amount + #entry.text
  end
  return sum
end

local accounts = {}
local check = 0
for batch = 1, @WORK@ do
  for _ = 1, 500 do
    local number = below(15000) + 1
    accounts[number] = Account.new(number)
  end
  for number = 1, 15000, 61 do
    if accounts[number] then
      check = check + accounts[number]:total()
    end
  end
  local pieces = {}
  for i = 1, 400 do
    pieces[#pieces + 1] = string.format("%d:%x;", i, below(1 << 30))
  end
  local text = table.concat(pieces)
  local replaced = text:gsub("(%d+):(%x+);", function(number, hex)
    return hex:upper() .. "=" .. number .. " "
  end)
  local grown = ""
  for part in replaced:sub(1, 1500):gmatch("%S+") do
    grown = grown .. part
  end
  local functions = {}
  for i = 1, 500 do
    local captured = { i, batch }
    functions[i] = function(x)
      captured[1] = captured[1] + x
      return captured[1] * captured[2]
    end
  end
  for i = 1, 500 do
    check = (check + functions[i](i)) & 0xffffffffffff
  end
  local queue = {}
  for i = 1, 3000 do
    queue[#queue + 1] = i * batch
  end
  table.sort(queue, function(a, b)
    return a % 97 < b % 97 or (a % 97 == b % 97 and a < b)
  end)
  check = (check * 31 + #grown + queue[1500]) & 0xffffffffffff
end
local live = 0
for number = 1, 15000 do
  live = live + (accounts[number] and 1 or 0)
end
print(live, check)
