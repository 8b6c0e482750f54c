// lanes.cpp: what the lanes of a warp do together: wait for each other, exchange values, vote.
//
// Lanes that name the same mask gather.  Each brings its value; the last one to come gives every one of them what it
// asked for, so nobody reads a value that its owner may have replaced since, and goes on at once.
#include "scheduler.h"

#include <cstring>

namespace cudaemu {

Gathering *Scheduler::gathering_of(Warp &warp, Meeting kind, const char *name, unsigned mask) {
    for (int i = 0; i < warp.gathering_count; i++) {
        Gathering *gathering = &warp.gatherings[i];
        if (gathering->mask != mask) continue;
        if (gathering->name != name && std::strcmp(gathering->name, name) != 0)
            fail("%s with mask %08x: other lanes of the mask wait in %s", name, mask, gathering->name);
        return gathering;
    }
    warp.gatherings[warp.gathering_count] = Gathering{ kind, name, mask, 0 };
    return &warp.gatherings[warp.gathering_count++];
}

// Four bytes are what is mostly exchanged.
static void move(void *to, const void *from, size_t bytes) {
    if (bytes == 4)
        std::memcpy(to, from, 4);
    else if (bytes)
        std::memcpy(to, from, bytes);
}

void Scheduler::wait_for_lanes(Meeting kind, const char *name, unsigned mask, unsigned source, void *value,
                               size_t bytes) {
    unsigned lane = here.linear % 32;
    Warp &warp = warps[here.linear / 32];
    Thread &self = threads[here.linear];
    if (!(mask >> lane & 1u)) fail("%s: the calling lane %u is not in its mask %08x", name, lane, mask);
    if (kind == Meeting::shuffle && !((mask & warp.exists) >> source & 1u))
        fail("%s: the source lane %u is not in the mask %08x of %u lanes", name, source, mask,
             (unsigned)__builtin_popcount(warp.exists));
    move(self.given, value, bytes);
    self.source = source;
    Gathering *gathering = gathering_of(warp, kind, name, mask);
    gathering->here |= 1u << lane;
    if (gathering->here == (mask & warp.exists)) {
        complete(warp, gathering);
        warp.ready &= ~(1u << lane);
    } else {
        leave();
    }
    move(value, self.taken, bytes);
}

// What 32-bit values become together, seen from one lane.
static uint32_t combined(Meeting kind, const Thread *lanes, unsigned met, uint32_t own) {
    uint32_t result = kind == Meeting::minimum || kind == Meeting::all_bits ? 0xFFFFFFFFu : 0;
    for (unsigned left = met; left; left &= left - 1) {
        unsigned lane = (unsigned)__builtin_ctz(left);
        uint32_t value;
        std::memcpy(&value, lanes[lane].given, sizeof value);
        switch (kind) {
        case Meeting::ballot: result |= value << lane; break;
        case Meeting::match: result |= (value == own ? 1u : 0u) << lane; break;
        case Meeting::add: result += value; break;
        case Meeting::minimum: result = value < result ? value : result; break;
        case Meeting::maximum: result = value > result ? value : result; break;
        case Meeting::all_bits: result &= value; break;
        case Meeting::any_bit: result |= value; break;
        case Meeting::odd_bits: result ^= value; break;
        default: break;
        }
    }
    return result;
}

void Scheduler::work_together(const Gathering &met, const Thread *lanes) {
    void *parts[32];
    Part part{};
    if (~met.here) fail("%s: it is for 32 lanes, and %d are there", met.name, __builtin_popcount(met.here));
    for (int lane = 0; lane < 32; lane++) {
        std::memcpy(&part, lanes[lane].given, sizeof part);
        parts[lane] = part.own;
    }
    part.work(parts);
}

void Scheduler::complete(Warp &warp, Gathering *gathering) {
    Thread *lanes = threads + 32 * (&warp - warps);
    Gathering met = *gathering;
    uint32_t result = 0;
    bool known = false;
    if (met.kind == Meeting::work) work_together(met, lanes);
    for (unsigned left = met.here; left; left &= left - 1) {
        Thread &self = lanes[__builtin_ctz(left)];
        if (met.kind == Meeting::work) {
            std::memcpy(self.taken, self.given, sizeof self.taken);
        } else if (met.kind == Meeting::sync) {
            self.met++;
        } else if (met.kind == Meeting::shuffle) {
            std::memcpy(self.taken, lanes[self.source].given, sizeof self.taken);
        } else {
            uint32_t own;
            std::memcpy(&own, self.given, sizeof own);
            if (!known || met.kind == Meeting::match) result = combined(met.kind, lanes, met.here, own);
            known = true;
            std::memcpy(self.taken, &result, sizeof result);
        }
    }
    warp.ready |= met.here;
    *gathering = warp.gatherings[--warp.gathering_count];
}

} // namespace cudaemu
