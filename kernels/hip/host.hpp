// The host machine: HIP on the CPU, block by block, a fiber a lane (DESIGN: one source, three machines). It
// is an instrument: a barrier that some lanes miss, lanes of a wave at different collectives, a write outside
// an allocation, a read of memory that nothing wrote, a use of a copy before it is done and a missing barrier
// all show. host_machine.hpp has its settings.
//   host_types.hpp     qualifiers, dim3, error codes, handles
//   host_device.hpp    what kernel bodies call
//   host_runtime.hpp   the hip… calls (host_runtime.cpp, host_events.cpp)
//   host_launch.*      hipLaunchKernelGGL
//   host_machine.*     settings, last_error, order_dependence
// and inside:
//   host_fibers.*      stacks and the switch
//   host_block.*       one block and the order of its lanes
//   host_rendezvous.*  collectives, and the counts when lanes miss them
//   host_fragment.cpp  matrix fragments
//   host_unit*         what each vendor's matrix unit computes
//   host_shared.*      a block's shared memory
//   host_grid.*        blocks over threads
//   host_stream.*      queues
//   host_memory.*      device memory; host_redzone.hpp: what it is filled and fenced with
//   host_state.*       the device that owns them all
#pragma once

#include "kernels/hip/host_device.hpp"
#include "kernels/hip/host_launch.hpp"
#include "kernels/hip/host_machine.hpp"
#include "kernels/hip/host_runtime.hpp"
#include "kernels/hip/host_types.hpp"
