package http

import _ "tandem/standalone" // nothing of net/http is used there; it is only to be linked where net/http is
