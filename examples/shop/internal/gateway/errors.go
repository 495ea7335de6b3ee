package gateway

import (
	"errors"
	"log/slog"
	"net/http"

	"github.com/gin-gonic/gin"
	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/status"

	"example.com/shop/internal/inventoryapi"
)

// refuse answers that the request itself is wrong.
func refuse(c *gin.Context, message string) {
	c.JSON(http.StatusBadRequest, gin.H{"error": message})
}

// fail answers with the status that the error of another service means to the
// customer, and logs what is worth a look.
func fail(c *gin.Context, err error) {
	code, message := meaning(err)
	ctx := c.Request.Context()
	switch {
	case code >= http.StatusInternalServerError:
		slog.ErrorContext(ctx, "request failed", "route", c.FullPath(), "status", code, "error", err)
	case code == http.StatusPaymentRequired:
		slog.WarnContext(ctx, "payment declined", "error", err)
	}
	c.JSON(code, gin.H{"error": message})
}

func meaning(err error) (code int, message string) {
	if errors.Is(err, inventoryapi.ErrNotFound) {
		return http.StatusNotFound, err.Error()
	}
	answer, ok := status.FromError(err)
	if !ok {
		return http.StatusBadGateway, "a part of the shop did not answer"
	}
	switch answer.Code() {
	case codes.InvalidArgument:
		return http.StatusBadRequest, answer.Message()
	case codes.FailedPrecondition:
		return http.StatusPaymentRequired, answer.Message()
	case codes.NotFound:
		return http.StatusNotFound, answer.Message()
	case codes.ResourceExhausted:
		return http.StatusConflict, answer.Message()
	case codes.Unavailable, codes.DeadlineExceeded:
		return http.StatusServiceUnavailable, "a part of the shop did not answer"
	default:
		return http.StatusInternalServerError, "internal error"
	}
}
