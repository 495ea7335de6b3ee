package requestconfig

import tandem_genai "tandem/genai"

// tandemReach is called when a request is sent, tries included.
func tandemReach(cfg *RequestConfig) {
	base := cfg.BaseURL
	if base == nil {
		base = cfg.DefaultBaseURL
	}
	if base != nil {
		tandem_genai.Reach(base.Scheme, base.Hostname(), base.Port())
	}
}
