package addon

import (
	"context"
	"net"
	"strconv"
	"time"

	authenticationv1 "k8s.io/api/authentication/v1"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/client-go/rest"

	"github.com/kubectl-ha/kubectl-ha/manifests"
	"github.com/kubectl-ha/kubectl-ha/pkg/action"
	"github.com/kubectl-ha/kubectl-ha/pkg/api/v1alpha1"
	"github.com/kubectl-ha/kubectl-ha/pkg/program"
)

// The names of the addons and the variant that the dashboard is about.
const (
	DashboardName    = "dashboard"
	monitoring       = "monitoring"
	variantAdminUser = "admin-user"
)

// Bounds of a token's life: the API server's own shortest, and a day's work twice.
const (
	minTokenLife = 10 * time.Minute
	maxTokenLife = 48 * time.Hour
)

// DashboardInstall completes options for the dashboard: with the addon monitoring, and with
// the account that may do everything.
func DashboardInstall(o InstallOptions, withMonitoring, withAdmin bool) InstallOptions {
	o.Names = []string{DashboardName}
	if withAdmin {
		o.With = append(o.With, variantAdminUser)
	}
	if withMonitoring {
		o.Companions = []string{monitoring}
	}
	return o
}

// DashboardURL is where the dashboard of a cluster is.
func DashboardURL(c *v1alpha1.Cluster) string {
	at := c.Spec.VirtualIP
	if all := c.ControlPlanes(); at == "" && len(all) > 0 {
		at = all[0].Address // The endpoint leads to the API alone; each node has the port.
	}
	return "https://" + net.JoinHostPort(at, strconv.Itoa(manifests.DashboardNodePort))
}

// Dashboard is one that is installed.
type Dashboard struct {
	site *site
}

// FindDashboard reaches the cluster; that its dashboard is not installed is an action.Invalid.
func FindDashboard(ctx context.Context, config *rest.Config) (*Dashboard, error) {
	s, err := connect(ctx, config)
	if err != nil {
		return nil, err
	}
	if _, there := s.find(DashboardName); !there {
		return nil, action.Invalidf("the dashboard is not installed; run %s dashboard install", program.Name)
	}
	return &Dashboard{site: s}, nil
}

// URL is where it is.
func (d *Dashboard) URL() string { return DashboardURL(d.site.cluster) }

// TokenOptions say what a token is good for.
type TokenOptions struct {
	// Life is from now, 10 minutes to 48 hours.
	Life time.Duration
	// Admin is a token of the account that may do everything.
	Admin bool
}

// Token is what a person logs in with; its Value is a secret.
type Token struct {
	Value string
	Ends  time.Time
	// Early says that it ends before what was asked for: the API server may have a limit.
	Early bool
}

// CheckToken refuses what can't be, without asking anybody. Errors are action.Invalid.
func CheckToken(o TokenOptions) error {
	if o.Life < minTokenLife || o.Life > maxTokenLife {
		return action.Invalidf("--duration must be between %s and %s", minTokenLife, maxTokenLife)
	}
	return nil
}

// Token asks the cluster for a token. That there is no account that may do everything is an
// action.Invalid.
func (d *Dashboard) Token(ctx context.Context, o TokenOptions) (Token, error) {
	if err := CheckToken(o); err != nil {
		return Token{}, err
	}
	account := manifests.DashboardViewer
	if o.Admin {
		account = manifests.DashboardAdmin
	}
	seconds := int64(o.Life.Seconds())
	request := &authenticationv1.TokenRequest{Spec: authenticationv1.TokenRequestSpec{ExpirationSeconds: &seconds}}
	got, err := d.site.clients.Kube.CoreV1().ServiceAccounts(manifests.DashboardNamespace).CreateToken(ctx, account, request, metav1.CreateOptions{})
	if apierrors.IsNotFound(err) && o.Admin {
		return Token{}, action.Invalidf("%s does not exist; %s dashboard install --admin-user creates it", account, program.Name)
	}
	if err != nil {
		return Token{}, action.OfCluster(err)
	}
	t := Token{Value: got.Status.Token, Ends: got.Status.ExpirationTimestamp.Time}
	t.Early = time.Until(t.Ends) < o.Life-time.Minute
	return t, nil
}
