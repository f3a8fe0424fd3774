#pragma once
// Finds the Ascend libraries of this machine, if there are any.
//
// Names and folders are those of CANN 8.x and 9.x. Of the libraries of one kind each function is taken from the first
// that has it:
//
// - runtime: libascendcl.so, libacl_rt.so (where the functions live from 9.x on)
// - objects: libnnopbase.so
// - operators: libcust_opapi.so of $ASCEND_CUSTOM_OPP_PATH and of $ASCEND_OPP_PATH/vendors, then every libopapi_*.so; without
//   any of those libopapi.so, which must not be mixed with them
// - collectives: libhccl.so
// - management: libdcmi.so
//
// Folders: the dynamic linker's own (LD_LIBRARY_PATH, which set_env.sh of CANN extends), then lib64 of $ASCEND_HOME_PATH
// and $ASCEND_TOOLKIT_HOME, or of /usr/local/Ascend/ascend-toolkit/latest and /usr/local/Ascend/cann when neither is set,
// then the driver's.
//
// LM_ASCEND_LIBRARY names one library to take everything from in place of all these: a simulated device. Such a library
// may export an `asc_exports_function` as "asc_exports": it says which functions to take, so that one file can look like
// several releases.

#include "ascend_collectives.h"
#include "ascend_objects.h"
#include "ascend_operators.h"
#include "ascend_runtime.h"

typedef enum {
    ASC_RUNTIME = 0,
    ASC_OBJECTS = 1,
    ASC_OPERATORS_KIND = 2,
    ASC_COLLECTIVES = 3,
    ASC_MANAGEMENT = 4,
} asc_kind;
enum { ASC_KINDS = 5, ASC_TEXT_BYTES = 1024 };

/// What became of one kind of library.
typedef struct {
    const char *name;  ///< for people: "runtime", "operators" ...
    bool is_found;     ///< whether at least one library of the kind was opened
    int found;         ///< functions that are there
    int wanted;        ///< functions of the table
    /// Libraries that were opened, or else what was looked for, where, and the linker's reason; cut off when longer.
    char text[ASC_TEXT_BYTES];
} asc_report;

/// Everything that was found.
typedef struct {
    asc_runtime runtime;
    asc_objects objects;
    asc_operators operators;
    asc_collectives collectives;
    asc_management management;
    asc_report reports[ASC_KINDS];  ///< by `asc_kind`
} asc_libraries;

/// Whether a function is to be taken: what a library named by LM_ASCEND_LIBRARY may export as "asc_exports".
typedef bool (*asc_exports_function)(const char *name);

/// Opens what there is and fills `libraries`; never fails, absent functions are NULL. Libraries stay open for the life of
/// the process (they keep threads of their own), so call it once.
void asc_load(asc_libraries *libraries);

/// A function of the tables by its place in the list of all names, for tools and tests; NULL behind the last.
const char *asc_name(size_t index);
/// The kind of the function at that place.
asc_kind asc_kind_of(size_t index);
/// The pointer that `libraries` holds for it.
void *asc_function(const asc_libraries *libraries, size_t index);
