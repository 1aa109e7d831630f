#define GREETING "Names knock at the door; bytes go over the transom."
