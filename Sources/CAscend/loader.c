#define _GNU_SOURCE
#include "ascend_loader.h"

#include <dlfcn.h>
#include <glob.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

// MARK: - Names

typedef struct {
    const char *name;
    asc_kind kind;
    size_t offset;
} entry;

#define RUNTIME(function) {#function, ASC_RUNTIME, offsetof(asc_libraries, runtime.function)},
#define OBJECT(function) {#function, ASC_OBJECTS, offsetof(asc_libraries, objects.function)},
#define OPERATOR(function) {#function, ASC_OPERATORS_KIND, offsetof(asc_libraries, operators.function)},
#define STAGES(op) OPERATOR(op##GetWorkspaceSize) OPERATOR(op)
#define COLLECTIVE(function) {#function, ASC_COLLECTIVES, offsetof(asc_libraries, collectives.function)},
#define MANAGEMENT(function) {#function, ASC_MANAGEMENT, offsetof(asc_libraries, management.function)},

static const entry entries[] = {
    ASC_RUNTIME_FUNCTIONS(RUNTIME)
    ASC_OBJECT_FUNCTIONS(OBJECT)
    ASC_OPERATORS(STAGES)
    OPERATOR(aclnnCalculateMatmulWeightSizeV2)
    OPERATOR(aclnnNpuFormatCastCalculateSizeAndFormat)
    ASC_COLLECTIVE_FUNCTIONS(COLLECTIVE)
    ASC_MANAGEMENT_FUNCTIONS(MANAGEMENT)
};
static const size_t entry_count = sizeof entries / sizeof entries[0];

const char *asc_name(size_t index) { return index < entry_count ? entries[index].name : NULL; }
asc_kind asc_kind_of(size_t index) { return entries[index].kind; }

static void **place(const asc_libraries *libraries, size_t index) {
    return (void **)((char *)libraries + entries[index].offset);
}
void *asc_function(const asc_libraries *libraries, size_t index) { return *place(libraries, index); }

// MARK: - Reports

static void append(asc_report *report, const char *before, const char *text) {
    size_t used = strlen(report->text);
    snprintf(report->text + used, sizeof report->text - used, "%s%s", used ? before : "", text);
}

// MARK: - Opening

enum { HANDLES = 16, PATH_BYTES = 512 };

/// What is open of one kind, in the order in which functions are taken.
typedef struct {
    void *handles[HANDLES];
    size_t count;
    asc_exports_function exports;
} opened;

static bool open_library(const char *path, opened *libraries, asc_report *report) {
    if (libraries->count == HANDLES) return false;
    void *handle = dlopen(path, RTLD_LAZY | RTLD_LOCAL);
    if (!handle) return false;
    if (!libraries->count) report->text[0] = 0;
    append(report, ", ", path);
    report->is_found = true;
    libraries->handles[libraries->count++] = handle;
    return true;
}

/// Every folder that libraries without a place of their own are looked for in, behind the linker's.
static size_t folders(const char *list[6]) {
    size_t count = 0;
    const char *home = getenv("ASCEND_HOME_PATH"), *toolkit = getenv("ASCEND_TOOLKIT_HOME");
    static char paths[2][PATH_BYTES];
    if (home && *home) {
        snprintf(paths[0], PATH_BYTES, "%s/lib64", home);
        list[count++] = paths[0];
    }
    if (toolkit && *toolkit && (!home || strcmp(home, toolkit))) {
        snprintf(paths[1], PATH_BYTES, "%s/lib64", toolkit);
        list[count++] = paths[1];
    }
    if (!count) {
        list[count++] = "/usr/local/Ascend/ascend-toolkit/latest/lib64";
        list[count++] = "/usr/local/Ascend/cann/lib64";
    }
    list[count++] = "/usr/local/Ascend/driver/lib64";
    list[count++] = "/usr/local/Ascend/driver/lib64/driver";
    return count;
}

/// Opens of each name the linker's file, or else that of the first folder which has one.
static void open_named(const char *const *names, size_t count, opened *libraries, asc_report *report) {
    const char *list[6];
    size_t places = folders(list);
    char reason[PATH_BYTES] = "";
    for (size_t n = 0; n < count; n++) {
        if (open_library(names[n], libraries, report)) continue;
        if (n == 0) {
            const char *error = dlerror();
            snprintf(reason, sizeof reason, "%s", error ? error : "");
        }
        for (size_t i = 0; i < places; i++) {
            char path[2 * PATH_BYTES];
            snprintf(path, sizeof path, "%s/%s", list[i], names[n]);
            if (open_library(path, libraries, report)) break;
        }
    }
    if (libraries->count) return;
    for (size_t n = 0; n < count; n++) append(report, " or ", names[n]);
    append(report, "", " in the linker's folders");
    for (size_t i = 0; i < places; i++) append(report, ", ", list[i]);
    append(report, ": ", reason);
}

static void open_matching(const char *folder, const char *pattern, opened *libraries, asc_report *report) {
    char path[2 * PATH_BYTES];
    snprintf(path, sizeof path, "%s/%s", folder, pattern);
    glob_t found;
    if (glob(path, 0, NULL, &found) == 0)
        for (size_t i = 0; i < found.gl_pathc; i++) open_library(found.gl_pathv[i], libraries, report);
    globfree(&found);
}

static void open_operators(opened *libraries, asc_report *report) {
    const char *custom = getenv("ASCEND_CUSTOM_OPP_PATH"), *opp = getenv("ASCEND_OPP_PATH");
    if (custom) {
        char list[4 * PATH_BYTES], *rest = NULL;
        snprintf(list, sizeof list, "%s", custom);
        for (char *folder = strtok_r(list, ":", &rest); folder; folder = strtok_r(NULL, ":", &rest))
            open_matching(folder, "op_api/lib/libcust_opapi.so", libraries, report);
    }
    if (opp) open_matching(opp, "vendors/*/op_api/lib/libcust_opapi.so", libraries, report);
    size_t customs = libraries->count;
    const char *list[6];
    size_t count = folders(list);
    for (size_t i = 0; i < count && libraries->count == customs; i++)
        open_matching(list[i], "libopapi_*.so", libraries, report);
    if (libraries->count == customs) {
        // Of a folder that only the linker knows, the split libraries are found by name.
        static const char *const split[] = {"libopapi_math.so", "libopapi_nn.so", "libopapi_transformer.so"};
        for (size_t i = 0; i < 3; i++) open_library(split[i], libraries, report);
    }
    static const char *const whole[] = {"libopapi.so"};
    if (libraries->count == customs) open_named(whole, 1, libraries, report);
}

static void open_kind(asc_kind kind, opened *libraries, asc_report *report) {
    const char *single = getenv("LM_ASCEND_LIBRARY");
    if (single && *single) {
        if (open_library(single, libraries, report)) {
            libraries->exports = (asc_exports_function)dlsym(libraries->handles[0], "asc_exports");
        } else {
            const char *error = dlerror();
            append(report, "", "LM_ASCEND_LIBRARY: ");
            append(report, "", error ? error : single);
        }
        return;
    }
    static const char *const runtime[] = {"libascendcl.so", "libacl_rt.so"}, *const objects[] = {"libnnopbase.so"},
                             *const collectives[] = {"libhccl.so"}, *const management[] = {"libdcmi.so"};
    switch (kind) {
        case ASC_RUNTIME: return open_named(runtime, 2, libraries, report);
        case ASC_OBJECTS: return open_named(objects, 1, libraries, report);
        case ASC_OPERATORS_KIND: return open_operators(libraries, report);
        case ASC_COLLECTIVES: return open_named(collectives, 1, libraries, report);
        case ASC_MANAGEMENT: return open_named(management, 1, libraries, report);
    }
}

// MARK: - Loading

static void *find(const opened *libraries, const char *name) {
    if (libraries->exports && !libraries->exports(name)) return NULL;
    for (size_t i = 0; i < libraries->count; i++) {
        void *function = dlsym(libraries->handles[i], name);
        if (function) return function;
    }
    return NULL;
}

void asc_load(asc_libraries *libraries) {
    static const char *const names[ASC_KINDS] = {"runtime", "objects", "operators", "collectives", "management"};
    memset(libraries, 0, sizeof *libraries);
    opened kinds[ASC_KINDS];
    memset(kinds, 0, sizeof kinds);
    for (size_t i = 0; i < ASC_KINDS; i++) {
        libraries->reports[i].name = names[i];
        open_kind((asc_kind)i, &kinds[i], &libraries->reports[i]);
    }
    for (size_t i = 0; i < entry_count; i++) {
        asc_report *report = &libraries->reports[entries[i].kind];
        void *function = find(&kinds[entries[i].kind], entries[i].name);
        *place(libraries, i) = function;
        report->wanted++;
        report->found += function != NULL;
    }
}
