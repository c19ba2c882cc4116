using Microsoft.AspNetCore.Mvc.RazorPages;

namespace KantaGateway.Gateway.Portal.Pages;

/// <summary>For who has been identified by means that carry no Finnish identity code (eIDAS): why nothing can be shown, and what to do.</summary>
[OpenToAll, WithoutRecord]
internal sealed class WithoutIdentityCodeModel : PageModel;
