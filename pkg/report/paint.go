package report

// Heading is a word above others.
func (s Style) Heading(text string) string { return s.paint(ansiBold, text) }

// Faint is what is beside the point.
func (s Style) Faint(text string) string { return s.paint(ansiDim, text) }

// Good, Doubtful and Bad are words with a verdict.
func (s Style) Good(text string) string     { return s.paint(ansiGreen, text) }
func (s Style) Doubtful(text string) string { return s.paint(ansiYellow, text) }
func (s Style) Bad(text string) string      { return s.paint(ansiRed, text) }
