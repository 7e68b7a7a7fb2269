# The script of the workload `ruby`: records in hashes and arrays, strings with substitutions, objects in a tree, symbols and
# sorting. One unit of work is a batch of each.
dice = Random.new(30)
Node = Struct.new(:key, :value, :left, :right)

def insert(root, key, value)
  node = root
  loop do
    side = key < node.key ? :left : :right
    child = node[side]
    return node[side] = Node.new(key, value) if child.nil?
    node = child
  end
end

def count(node)
  node.nil? ? 0 : 1 + count(node.left) + count(node.right)
end

store = {}
check = 0
@WORK@.times do |batch|
  400.times do
    key = dice.rand(12_000)
    store[key] = {
      id: key,
      name: "user-#{key.to_s(16)}",
      tags: Array.new(dice.rand(6)) { "tag-#{dice.rand(500)}" },
      notes: "n" * dice.rand(200)
    }
  end
  rows = store.values_at(*store.keys.sort.each_slice(41).map(&:first))
  text = rows.map { |row| "#{row[:name]}:#{row[:tags].join(',')}:#{row[:notes].size}" }.join("\n")
  swapped = text.gsub(/(\w+)-([0-9a-f]+)/) { "#{Regexp.last_match(2).upcase}/#{Regexp.last_match(1)}" }
  words = swapped.split(/[:,\n]/)
  counts = words.each_with_object(Hash.new(0)) { |word, sum| sum[word[0, 3]] += 1 }
  root = Node.new(50_000, nil)
  250.times { insert(root, dice.rand(100_000), [batch]) }
  big = (0...3000).map { |index| (index * 7919 + batch).to_s }.sort
  grown = +''
  words.first(500).each { |word| grown << word << '|' }
  check = (check * 31 + swapped.sum + counts.size + count(root) + big[1500].to_i + grown.bytesize) % (1 << 60)
end
puts store.size, check
