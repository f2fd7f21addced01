// What the allocators of real memory share: freed blocks are kept and handed out again, because new
// memory costs more than most of the kernels that would fill it; and live bytes are counted in the
// same way on every device, so that a plan made on one is exact on another.
#pragma once

#include <map>
#include <mutex>
#include <string>

#include "runtime/device/device.h"
#include "runtime/device/holder.h"

namespace tandem::runtime {

class Accounting {
 public:
  void add(std::int64_t bytes);
  void remove(std::int64_t bytes);
  MemoryStats stats;
};

class PrivatePool;

class CachingAllocator : public Allocator {
 public:
  void* allocate(std::int64_t bytes) override;
  void deallocate(void* pointer, std::int64_t bytes) noexcept override;
  void release_cached() override;
  MemoryStats stats() const override;
  void reset_peak() override;

 protected:
  // Null when there is none. Called under the lock.
  virtual void* from_system(std::int64_t size) = 0;
  virtual void to_system(void* pointer) noexcept = 0;
  // Whether to_system may be called now.
  virtual bool can_give_back() const { return true; }
  // "host memory", "cuda:0 (79 GiB)"
  virtual std::string place() const = 0;

 private:
  friend class PrivatePool;
  struct Block {
    std::int64_t size;
    Holder holder;                      // of a live one
    const PrivatePool* pool = nullptr;  // null: everybody's
  };
  using BySize = std::multimap<std::int64_t, void*>;

  void close(const PrivatePool* pool);
  void release_cached_locked();
  [[noreturn]] void out_of_memory(std::int64_t bytes) const;

  mutable std::mutex mutex_;
  Accounting accounting_;
  std::map<const PrivatePool*, BySize> cached_;
  std::map<void*, Block> blocks_;  // all
  // By holder: requested size → how many are in use.
  std::map<Holder, std::map<std::int64_t, int>> live_;
};

// Blocks that nobody else gets: what is recorded to be replayed finds its addresses as it left
// them. When the pool ends they are everybody's. Must not outlive the allocator.
class PrivatePool {
 public:
  explicit PrivatePool(CachingAllocator& allocator) : allocator_(allocator) {}
  ~PrivatePool() { allocator_.close(this); }
  PrivatePool(const PrivatePool&) = delete;
  PrivatePool& operator=(const PrivatePool&) = delete;

  // This thread allocates from the pool.
  class Scope {
   public:
    explicit Scope(const PrivatePool& pool);
    ~Scope();
    Scope(const Scope&) = delete;
    Scope& operator=(const Scope&) = delete;

   private:
    const PrivatePool* outer_;
  };

 private:
  friend class CachingAllocator;
  // Of this thread; null: none.
  static const PrivatePool* current(const CachingAllocator& allocator);

  CachingAllocator& allocator_;
};

}  // namespace tandem::runtime
