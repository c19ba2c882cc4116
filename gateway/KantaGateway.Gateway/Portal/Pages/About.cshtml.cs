using Microsoft.AspNetCore.Mvc.RazorPages;

namespace KantaGateway.Gateway.Portal.Pages;

/// <summary>Privacy and accessibility.</summary>
[OpenToAll, WithoutRecord]
internal sealed class AboutModel : PageModel;
